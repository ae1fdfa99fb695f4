"""Arithmetic of matrix product operators (MPOBERT).

Factors: ``tensor0`` to ``tensor{n-1}``, each (bond, rows, columns, bond).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional

from adapterkit.backbones.factorised.chain import Order
from adapterkit.backbones.factorised.decomposition import as_double, like, truncated_svd
from adapterkit.backbones.factorised.forms import MatrixProduct

_FLOOR = 1e-6
"""Below this part of a bond's largest singular value, balancing treats all alike."""


def materialise(form: MatrixProduct, factors: Mapping[str, Tensor]) -> Tensor:
    """The tensors contracted, in the cheapest order, to (out, in)."""
    tensors = [factors[name] for name in form.factor_shapes()]
    product = _contracted(tensors, form.order)
    sides = tuple(chain.from_iterable(zip(form.rows, form.columns, strict=True)))
    places = range(len(sides))
    return product.reshape(sides).permute(*places[::2], *places[1::2]).reshape(form.shape)


def apply(
    form: MatrixProduct,
    factors: Mapping[str, Tensor],
    states: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    """``states @ W.T + bias``, (..., in) to (..., out); W is multiplied out, as in the paper."""
    return functional.linear(states, materialise(form, factors), bias)


def rows_of(form: MatrixProduct, factors: Mapping[str, Tensor], indices: Tensor) -> Tensor:
    """The rows `indices` (...) of W, (..., columns), with W multiplied out.

    A token's own slice of the central tensor is about as large as a hundred rows of W, so that
    contracting token by token would pay for the shortest texts alone.
    """
    return functional.embedding(indices, materialise(form, factors))


def start(form: MatrixProduct, weight: Tensor) -> dict[str, Tensor]:
    """Local tensors of a weight: exact without a cap, else within the bound of the truncations.

    A sweep of singular value decompositions from left to right keeps the left vectors as local
    tensors and pushes the rest on; the cap cuts each bond in this sweep (the paper's code cuts
    later, and was run without a cap; cutting here is our choice). The squared error is at most the
    sum of the squares of the singular values cut, each bond's taken of the weight itself. A sweep
    back then finds the singular values lambda of what is left at each bond, and each bond gets
    gauges of ``lambda^{-1/2}`` on both sides: both parts of the chain have the Gram matrix
    ``diag(lambda)`` there. Values below 1e-6 of a bond's largest count as that (our choice too).
    Computed in float64, returned in the weight's dtype.

    Raises:
        ValueError: The weight has another shape than the form.
    """
    tensors = _swept(form, as_double(weight, form.shape))
    balanced = _balanced(tensors)
    return like(weight, dict(zip(form.factor_shapes(), balanced, strict=True)))


def _swept(form: MatrixProduct, matrix: Tensor) -> list[Tensor]:
    """Local tensors, all but the last with orthonormal columns (bond rows columns, bond)."""
    count = len(form.rows)
    places = chain.from_iterable(zip(range(count), range(count, 2 * count), strict=True))
    rest = matrix.reshape(*form.rows, *form.columns).permute(*places)
    tensors = []
    for shape in list(form.factor_shapes().values())[:-1]:
        left, values, right = truncated_svd(
            rest.reshape(shape[0] * shape[1] * shape[2], -1), shape[3]
        )
        tensors.append(left.reshape(shape))
        rest = values[:, None] * right
    return [*tensors, rest.reshape(list(form.factor_shapes().values())[-1])]


def _balanced(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same chain with the singular values of each bond shared out evenly to both sides."""
    balanced: list[Tensor] = []
    pending = tensors[-1]
    root = torch.ones(1, dtype=pending.dtype)
    for before in reversed(tensors[:-1]):
        left, values, right = truncated_svd(pending.reshape(pending.shape[0], -1), pending.shape[0])
        own = values.clamp(min=values[0].item() * _FLOOR or 1.0).sqrt()
        tensor = own[:, None] * right / root.repeat(right.shape[1] // len(root))
        balanced.insert(0, tensor.reshape(pending.shape))
        pending = torch.tensordot(before, left * values, dims=1)
        root = own
    return [pending / root, *balanced]


def _contracted(tensors: Sequence[Tensor], order: Order) -> Tensor:
    """The product of the tensors named by `order`: (first bond, legs, last bond)."""
    if isinstance(order, int):
        tensor = tensors[order]
        return tensor.reshape(tensor.shape[0], -1, tensor.shape[-1])
    left, right = _contracted(tensors, order[0]), _contracted(tensors, order[1])
    joined = left.reshape(-1, left.shape[-1]) @ right.reshape(right.shape[0], -1)
    return joined.reshape(left.shape[0], -1, right.shape[-1])
