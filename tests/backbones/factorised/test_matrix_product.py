"""Matrix product operators: exact at full bond, and within the bound of what is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from torch import Tensor

from adapterkit.backbones.factorised.forms import MatrixProduct
from adapterkit.backbones.factorised.matrix_product import materialise, start
from tests.backbones.factorised.small import factors_of, few, matrix_products, random, seeds


def test_multiplied_out_it_is_the_sum_over_the_bonds() -> None:
    form = MatrixProduct((2, 3, 2), (3, 1, 2), 2)
    t0, t1, t2 = factors_of(form).values()
    expected = torch.einsum("aijb,bklc,cmnd->ikmjln", t0, t1, t2).reshape(12, 6)
    torch.testing.assert_close(materialise(form, factors_of(form)), expected)


@few
@given(matrix_products(), seeds)
def test_the_error_is_within_the_bound_of_what_is_cut(form: MatrixProduct, seed: int) -> None:
    """Oseledets 2011, theorem 2.2: the root of the sum of squares cut at each bond of W."""
    weight = random(*form.shape, seed=seed)
    distance = (weight - materialise(form, start(form, weight))).norm()
    cut = [
        (torch.linalg.svdvals(unfolded)[kept:] ** 2).sum()
        for unfolded, kept in zip(_unfoldings(form, weight), form.bonds[1:-1], strict=True)
    ]
    bound = torch.stack(cut).sum().sqrt()
    assert distance <= bound + 1e-9 * weight.norm()
    assert distance >= torch.stack(cut).max().sqrt() - 1e-9 * weight.norm()


@few
@given(matrix_products(), seeds)
def test_every_bond_is_balanced(form: MatrixProduct, seed: int) -> None:
    """Both sides of each bond have one Gram matrix: the singular values of what is left there."""
    factors = start(form, random(*form.shape, seed=seed))
    tensors = list(factors.values())
    unfoldings = _unfoldings(form, materialise(form, factors))
    for number, unfolded in enumerate(unfoldings, start=1):
        left, right = _joined(tensors[:number]), _joined(tensors[number:])
        left, right = left.reshape(-1, left.shape[-1]), right.reshape(right.shape[0], -1)
        expected = torch.diag(torch.linalg.svdvals(unfolded)[: form.bonds[number]])
        close = {"rtol": 1e-6, "atol": 1e-6 * float(expected.max())}
        torch.testing.assert_close(left.T @ left, expected, **close)
        torch.testing.assert_close(right @ right.T, expected, **close)


@pytest.mark.parametrize(
    "form",
    [
        MatrixProduct((4, 4, 4, 4, 3), (4, 4, 4, 4, 3)),
        MatrixProduct((3, 4, 4, 4, 2), (3, 4, 4, 4, 2)),
        MatrixProduct((12, 16, 8), (8, 8, 6)),
    ],
)
def test_it_is_exact_at_full_bond_in_single_precision(form: MatrixProduct) -> None:
    weight = random(*form.shape).float() * 0.02
    error = (weight - materialise(form, start(form, weight))).norm() / weight.norm()
    assert error < 1e-5


def test_a_weight_of_low_rank_stays_finite_and_exact() -> None:
    form = MatrixProduct((4, 2, 3), (2, 5, 2))
    weight = random(24, 1).float() @ random(1, 20, seed=1).float()
    factors = start(form, weight)
    assert max(float(factor.abs().max()) for factor in factors.values()) < 1e5
    assert (weight - materialise(form, factors)).norm() < 1e-5 * weight.norm()


def _unfoldings(form: MatrixProduct, weight: Tensor) -> list[Tensor]:
    """W as a matrix of what lies left and right of each bond, worked out index by index."""
    count = len(form.rows)
    places = [place for k in range(count) for place in (k, count + k)]
    interleaved = weight.reshape(*form.rows, *form.columns).permute(*places)
    sides = [2 * number for number in range(1, count)]
    return [interleaved.flatten(side).flatten(0, side - 1) for side in sides]


def _joined(tensors: list[Tensor]) -> Tensor:
    joined = tensors[0]
    for before, tensor in pairwise(tensors):
        assert before.shape[-1] == tensor.shape[0]
        joined = torch.tensordot(joined, tensor, dims=1)
    return joined
