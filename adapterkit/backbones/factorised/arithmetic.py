"""What can be done with a weight in any form: multiply it out, apply it, look rows up, start it.

``factors`` are the tensors that ``form.factor_shapes()`` names.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from adapterkit.backbones.factorised import kronecker, low_rank, matrix_product
from adapterkit.backbones.factorised.forms import Form, Kronecker, LowRank, MatrixProduct


def materialise(form: Form, factors: Mapping[str, Tensor]) -> Tensor:
    """The weight itself: (out, in)."""
    match form:
        case Kronecker():
            return kronecker.materialise(form, factors)
        case MatrixProduct():
            return matrix_product.materialise(form, factors)
        case LowRank():
            return low_rank.materialise(form, factors)


def apply(
    form: Form, factors: Mapping[str, Tensor], states: Tensor, bias: Tensor | None = None
) -> Tensor:
    """``states @ materialise(form, factors).T + bias``, as cheap as may be.

    Args:
        form: The sizes.
        factors: What `materialise` multiplies out.
        states: (..., in).
        bias: (out,); given here it costs less than added afterwards.

    Returns:
        (..., out).
    """
    match form:
        case Kronecker():
            return kronecker.apply(form, factors, states, bias)
        case MatrixProduct():
            return matrix_product.apply(form, factors, states, bias)
        case LowRank():
            return low_rank.apply(form, factors, states, bias)


def rows_of(form: Form, factors: Mapping[str, Tensor], indices: Tensor) -> Tensor:
    """The rows `indices` (...) of the weight as a table: (..., columns)."""
    match form:
        case Kronecker():
            return kronecker.rows_of(form, factors, indices)
        case MatrixProduct():
            return matrix_product.rows_of(form, factors, indices)
        case LowRank():
            return low_rank.rows_of(form, factors, indices)


def start(form: Form, weight: Tensor) -> dict[str, Tensor]:
    """The factors from which training starts: nearest to `weight`, in its dtype, on its device.

    Raises:
        ValueError: The weight has another shape than the form.
    """
    match form:
        case Kronecker():
            return kronecker.start(form, weight)
        case MatrixProduct():
            return matrix_product.start(form, weight)
        case LowRank():
            return low_rank.start(form, weight)


@torch.no_grad()
def relative_error(form: Form, factors: Mapping[str, Tensor], weight: Tensor) -> float:
    """``||W - materialise(form, factors)|| / ||W||`` in Frobenius norm; 0 where both are zero."""
    product = materialise(form, factors).double()
    distance = torch.linalg.norm(weight.detach().double() - product)
    if not distance:
        return 0.0
    return float(distance / torch.linalg.norm(weight.detach().double()))
