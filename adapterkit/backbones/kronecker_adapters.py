"""Adapters of Kronecker products: KronA's update of a matrix, and AdaKron's output of two nets."""

from __future__ import annotations

import math

import torch
from adapters.methods.lora import LoRA
from torch import nn

from adapterkit.backbones.factorised.forms import Kronecker
from adapterkit.backbones.factorised.kronecker import apply


class KroneckerLoRA(LoRA):  # type: ignore[misc]
    """An update ``scaling * (B (x) A)`` of a matrix (KronA, arXiv 2212.10650; LoKr in PEFT).

    It stands where LoRA's ``B @ A`` does, and its factors have LoRA's names: ``lora_B``, shape
    (factor, factor), starts at zero and ``lora_A``, shape (out / factor, in / factor), as
    ``nn.Linear`` does, so that the update is zero at first. Unlike LoRA's its rank is bounded by no
    option: that of the product is the product of the factors' ranks.
    """

    @property
    def delta_w(self) -> torch.Tensor:
        """The update before it is scaled, shape (out, in); written out only to be merged."""
        return torch.kron(self.lora_B, self.lora_A)

    def forward(
        self, hidden_states: torch.Tensor | None, layer_input: torch.Tensor
    ) -> tuple[torch.Tensor, None]:
        """The update of what the linear makes, (batch, tokens, in) to (batch, tokens, out)."""
        states = layer_input if hidden_states is None else hidden_states
        factors = {"left": self.lora_B[None], "right": self.lora_A[None]}
        (rows, columns), (more_rows, more_columns) = self.lora_B.shape, self.lora_A.shape
        form = Kronecker((rows, more_rows), (columns, more_columns))
        return apply(form, factors, self.lora_dropout(states)) * self.scaling, None


class KroneckerUp(nn.Module):
    """The projection up of an AdaKron bottleneck: ``first(x) (x) second(x)``.

    AdaKron (LREC-COLING 2024, 2024.lrec-main.32) has the outputs of two small nets multiplied to
    one vector as wide as the product of their widths. That the nets share the projection down, and
    that the first starts at zero, so that the adapter does nothing at first, is our choice: the
    paper's body was not at hand.

    Args:
        units: Width of the bottleneck.
        first: Width of the first net's output.
        second: Width of the second's.
    """

    def __init__(self, units: int, first: int, second: int) -> None:
        super().__init__()
        self.first = nn.Linear(units, first)
        self.second = nn.Linear(units, second)
        nn.init.zeros_(self.first.weight)
        nn.init.zeros_(self.first.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """From (batch, tokens, units) to (batch, tokens, first times second)."""
        first, second = self.first(states), self.second(states)
        product: torch.Tensor = first.unsqueeze(-1) * second.unsqueeze(-2)
        return product.flatten(-2)


def start_kronecker_up(units: int, width: int, factor: int) -> KroneckerUp:
    """A `KroneckerUp` to `width`, of which `factor` is one factor; other widths of it fail.

    Raises:
        ValueError: `factor` does not divide `width`.
    """
    _check_divides(factor, width)
    return KroneckerUp(units, factor, width // factor)


def krona_shapes(factor: int, read: int, written: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shapes of ``lora_A`` and ``lora_B`` for a matrix (written, read); see `KroneckerLoRA`.

    Raises:
        ValueError: `factor` does not divide both sizes.
    """
    _check_divides(factor, math.gcd(read, written))
    return (written // factor, read // factor), (factor, factor)


def _check_divides(factor: int, size: int) -> None:
    if factor < 1 or size % factor:
        raise ValueError(f"factor {factor} does not divide {size}")
