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


def apply(
    form: Kronecker, factors: Mapping[str, Tensor], states: Tensor, bias: Tensor | None = None
) -> Tensor:
    """``states @ W.T + bias`` without W: ``(A (x) B) vec(X) = vec(A X B^T)``, row by row.

    Of the two orders of multiplication the one of fewer multiply-adds is taken. The larger factor
    acts on all vectors in one product; X is turned where that needs it, at the price of a copy.

    Args:
        form: The sizes.
        factors: ``left`` and ``right``.
        states: (..., in).
        bias: (out,).

    Returns:
        (..., out).
    """
    left, right = factors["left"], factors["right"]
    vectors = states.reshape(-1, *form.columns)
    right_first, left_first = form.multiply_adds
    if left[0].numel() <= right[0].numel():
        product = _product(left, right, vectors, right_first < left_first)
    else:
        turned = _product(right, left, vectors.transpose(1, 2), left_first < right_first)
        product = turned.transpose(1, 2)
    applied = product.reshape(*states.shape[:-1], form.shape[0])
    return applied if bias is None else applied.add_(bias)


def rows_of(form: Kronecker, factors: Mapping[str, Tensor], indices: Tensor) -> Tensor:
    """The rows `indices` (...) of W, (..., columns), each from a row of A and a row of B."""
    flat = indices.reshape(-1)
    of_left = _rows_of_terms(factors["left"], flat.div(form.rows[1], rounding_mode="floor"))
    of_right = _rows_of_terms(factors["right"], flat % form.rows[1])
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


def _product(small: Tensor, large: Tensor, vectors: Tensor, large_first: bool) -> Tensor:
    """``sum_t S_t X L_t^T`` for each X of `vectors`; the terms lie side by side in the matrices.

    Args:
        small: (terms, p, q), which multiplies matrix by matrix.
        large: (terms, r, s), which multiplies all rows at once.
        vectors: (n, q, s).
        large_first: The order; it changes the cost alone.

    Returns:
        (n, p, r).
    """
    (terms, p, q), (_, r, s) = small.shape, large.shape
    if large_first:
        # As one matrix: of turned vectors, linear would make a product each, twenty times slower.
        half = functional.linear(vectors.reshape(-1, s), large.reshape(terms * r, s))
        blocks = half.view(-1, q * terms, r)
        beside = small.permute(1, 2, 0).reshape(p, q * terms)
        return torch.bmm(_repeated(beside, blocks), blocks)
    above = small.transpose(0, 1).reshape(p * terms, q)
    half = torch.bmm(_repeated(above, vectors), vectors)
    return functional.linear(
        half.view(-1, p, terms * s), large.transpose(0, 1).reshape(r, terms * s)
    )


def _repeated(matrix: Tensor, vectors: Tensor) -> Tensor:
    """The matrix once for each of the vectors, without a copy."""
    return matrix.expand(len(vectors), *matrix.shape)


def _rows_of_terms(factor: Tensor, indices: Tensor) -> Tensor:
    """The rows `indices` (n,) of every term of (terms, rows, columns): (terms, n, columns)."""
    terms, rows, columns = factor.shape
    firsts = torch.arange(0, terms * rows, rows, device=indices.device)
    return functional.embedding(firsts[:, None] + indices, factor.reshape(-1, columns))
