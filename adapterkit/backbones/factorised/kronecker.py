"""Arithmetic of sums of Kronecker products (KroneckerBERT, section 3; Van Loan & Pitsianis 1993).

Factors: ``left``, A of (terms, rows[0], columns[0]), and ``right``, B of (terms, rows[1],
columns[1]).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from adapterkit.backbones.factorised.decomposition import as_double, like, truncated_svd
from adapterkit.backbones.factorised.forms import Kronecker


def materialise(form: Kronecker, factors: Mapping[str, Tensor]) -> Tensor:
    """``sum_t A_t (x) B_t`` multiplied out: (out, in)."""
    product = torch.einsum("tij,tkl->ikjl", factors["left"], factors["right"])
    return product.reshape(form.shape)


def apply(form: Kronecker, factors: Mapping[str, Tensor], states: Tensor) -> Tensor:
    """``states @ W.T`` without W: ``(A (x) B) vec(X) = vec(A X B^T)``, row by row.

    The order of the two products is the one of fewer multiply-adds. The terms are laid side by side
    in the matrices, so that there are two products however many they are.

    Args:
        form: The sizes.
        factors: ``left`` and ``right``.
        states: (..., in).

    Returns:
        (..., out).
    """
    left, right = factors["left"], factors["right"]
    (rows_a, rows_b), (columns_a, columns_b) = form.rows, form.columns
    vectors = states.reshape(-1, columns_a, columns_b)
    if form.right_first:
        beside = left.permute(1, 2, 0).reshape(rows_a, columns_a * form.terms)
        half = functional.linear(vectors, right.reshape(form.terms * rows_b, columns_b))
        product = _from_left(beside, half.view(-1, columns_a * form.terms, rows_b))
    else:
        beside = right.transpose(0, 1).reshape(rows_b, form.terms * columns_b)
        half = _from_left(left.transpose(0, 1).reshape(rows_a * form.terms, columns_a), vectors)
        product = functional.linear(half.view(-1, rows_a, form.terms * columns_b), beside)
    return product.reshape(*states.shape[:-1], rows_a * rows_b)


def rows_of(form: Kronecker, factors: Mapping[str, Tensor], indices: Tensor) -> Tensor:
    """The rows `indices` (...) of W, (..., columns), each from a row of A and a row of B."""
    left, right = factors["left"], factors["right"]
    flat = indices.reshape(-1)
    of_left = left.index_select(1, torch.div(flat, form.rows[1], rounding_mode="floor"))
    of_right = right.index_select(1, flat % form.rows[1])
    rows = torch.einsum("tni,tnj->nij", of_left, of_right)
    return rows.reshape(*indices.shape, form.shape[1])


def start(form: Kronecker, weight: Tensor) -> dict[str, Tensor]:
    """The factors nearest to a weight in Frobenius norm (Van Loan & Pitsianis 1993).

    The weight's blocks are laid out as rows, (rows[0] columns[0], rows[1] columns[1]); the leading
    `terms` singular triplets of that are the factors, the root of a singular value on either side.
    Computed in float64, returned in the weight's dtype.

    Raises:
        ValueError: The weight has another shape than the form.
    """
    matrix = as_double(weight, form.shape)
    (rows_a, rows_b), (columns_a, columns_b) = form.rows, form.columns
    blocks = matrix.reshape(rows_a, rows_b, columns_a, columns_b).transpose(1, 2)
    vectors, values, others = truncated_svd(
        blocks.reshape(rows_a * columns_a, rows_b * columns_b), form.terms
    )
    roots = values.sqrt()
    shapes = form.factor_shapes()
    return like(
        weight,
        {
            "left": (vectors * roots).T.reshape(shapes["left"]),
            "right": (others * roots[:, None]).reshape(shapes["right"]),
        },
    )


def _from_left(matrix: Tensor, vectors: Tensor) -> Tensor:
    """(p, q) times each (q, s) of (n, q, s): (n, p, s)."""
    return torch.matmul(matrix, vectors)
