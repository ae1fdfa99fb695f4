"""Linear layers and embedding tables whose matrix is stored as factors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from adapterkit.backbones.factorised import arithmetic
from adapterkit.backbones.factorised.forms import Form, Kronecker, LowRank


class Factors(nn.Module):
    """The factors of one matrix: parameters under the names that its form gives them.

    Args:
        form: Says which factors there are.
        std: Standard deviation that the entries of the matrix start with, the factors' being drawn
            from normal distributions.
    """

    def __init__(self, form: Form, std: float = 0.02) -> None:
        super().__init__()
        self.form = form
        shapes = form.factor_shapes()
        scale = (std / _paths(form) ** 0.5) ** (1 / len(shapes))
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape).normal_(0, scale)))

    def values(self) -> dict[str, torch.Tensor]:
        """The factors by name, with pruned entries held at zero."""
        return {name: self._masked(name) for name in self.form.factor_shapes()}

    def _masked(self, name: str) -> torch.Tensor:
        factor: torch.Tensor = self.get_parameter(name)
        mask = self.mask(name)
        # What does not learn is zero there already.
        return factor * mask if mask is not None and factor.requires_grad else factor

    def mask(self, name: str) -> torch.Tensor | None:
        """Which entries of a factor are kept, of its shape; None: all are."""
        mask: torch.Tensor | None = getattr(self, f"{name}_mask", None)
        return mask

    @torch.no_grad()
    def prune(self, name: str, kept: torch.Tensor) -> None:
        """Set all but some entries of a factor to zero, for good.

        Args:
            name: The factor.
            kept: Which entries are kept, of its shape.
        """
        factor = self.get_parameter(name)
        kept = kept.to(factor.device)
        # Not part of the state: files hold the mask in a form of their own.
        self.register_buffer(f"{name}_mask", kept, persistent=False)
        # Not by a product, which would leave negative zeros.
        factor.masked_fill_(~kept, 0)

    @torch.no_grad()
    def set(self, values: Mapping[str, torch.Tensor]) -> None:
        """Copy in the factors; shapes as `Form.factor_shapes` says."""
        for name, value in values.items():
            self.get_parameter(name).copy_(value)

    @property
    def learn(self) -> bool:
        """Whether a factor takes gradients."""
        return any(parameter.requires_grad for parameter in self.parameters())


class FactorisedLinear(nn.Linear):
    """A linear layer whose matrix is stored as factors; `factorise_linear` makes one."""

    factors: Factors

    @property
    def dense(self) -> torch.Tensor | None:
        """The matrix itself, where something keeps it."""
        return None

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """The matrix, shape (out, in), computed from its factors."""
        return arithmetic.materialise(self.factors.form, self.factors.values())

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Apply the layer, (..., in) to (..., out), as cheaply as the form allows."""
        dense = self.dense
        if dense is not None and not (torch.is_grad_enabled() and self.factors.learn):
            return nn.functional.linear(states, dense, self.bias)
        return arithmetic.apply(self.factors.form, self.factors.values(), states, self.bias)


class FactorisedEmbedding(nn.Embedding):
    """An embedding table stored as factors; `factorise_embedding` makes one."""

    factors: Factors

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """The table, shape (rows, columns), computed from its factors."""
        return arithmetic.materialise(self.factors.form, self.factors.values())

    def forward(self, indices: torch.Tensor) -> torch.Tensor:
        """The rows of the table at `indices`, shape (..., columns)."""
        return arithmetic.rows_of(self.factors.form, self.factors.values(), indices)


def factorise_linear(linear: nn.Module, form: Form, std: float = 0.02) -> None:
    """Let a linear layer store random factors instead of its matrix; its bias stays.

    Args:
        linear: Changed in place.
        form: Of the same shape as its matrix.
        std: See `Factors`.
    """
    attach(linear, Factors(form, std), FactorisedLinear)


def factorise_embedding(table: nn.Module, form: Form, std: float = 0.02) -> None:
    """Let an embedding table store random factors; arguments as `factorise_linear`."""
    attach(table, Factors(form, std), FactorisedEmbedding)


def attach(module: nn.Module, factors: Factors, kind: type[nn.Module]) -> None:
    """Make `module` one of `kind`, whose matrix is computed from `factors`."""
    del module.weight
    module.factors = factors
    module.__class__ = kind


def detach(linear: FactorisedLinear) -> Factors:
    """Take the factors out of a linear layer, and leave a plain one with an empty matrix."""
    factors = linear.factors
    del linear.factors
    linear.__class__ = nn.Linear  # type: ignore[assignment]
    linear.weight = nn.Parameter(torch.empty(0))  # type: ignore[misc]
    return factors


def _paths(form: Form) -> int:
    """How many products of factors' entries one entry of the matrix is the sum of."""
    if isinstance(form, Kronecker):
        return form.terms
    if isinstance(form, LowRank):
        return form.rank
    bonds = [shape[0] for shape in form.factor_shapes().values()]
    product = 1
    for bond in bonds:
        product *= bond
    return product
