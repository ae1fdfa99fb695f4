"""Arithmetic of low-rank products (LadaBERT). Factors: ``left``, U, and ``right``, V."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from adapterkit.backbones.factorised.decomposition import as_double, like, truncated_svd
from adapterkit.backbones.factorised.forms import LowRank


def materialise(form: LowRank, factors: Mapping[str, Tensor]) -> Tensor:
    """``U V`` multiplied out: (out, in)."""
    return factors["left"] @ factors["right"]


def apply(
    form: LowRank, factors: Mapping[str, Tensor], states: Tensor, bias: Tensor | None = None
) -> Tensor:
    """``states @ W.T + bias``, (..., in) to (..., out), by way of the (..., rank) in between."""
    return functional.linear(functional.linear(states, factors["right"]), factors["left"], bias)


def rows_of(form: LowRank, factors: Mapping[str, Tensor], indices: Tensor) -> Tensor:
    """The rows `indices` (...) of W: (..., columns)."""
    return functional.embedding(indices, factors["left"]) @ factors["right"]


def start(form: LowRank, weight: Tensor) -> dict[str, Tensor]:
    """The factors nearest to a weight in Frobenius norm (Eckart & Young 1936).

    Its leading singular triplets, the root of a singular value on either side. Computed in float64,
    returned in the weight's dtype.

    Raises:
        ValueError: The weight has another shape than the form.
    """
    vectors, values, others = truncated_svd(as_double(weight, form.shape), form.rank)
    roots = values.sqrt()
    return like(weight, {"left": vectors * roots, "right": others * roots[:, None]})
