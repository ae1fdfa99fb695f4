"""Sums of Kronecker products: torch.kron, and the nearest of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from adapterkit.backbones.factorised.forms import Kronecker
from adapterkit.backbones.factorised.kronecker import apply, materialise, start
from tests.backbones.factorised.small import factors_of, random


def _sum(left: Tensor, right: Tensor) -> Tensor:
    """The definition, one product after another."""
    return sum((torch.kron(a, b) for a, b in zip(left, right, strict=True)), torch.tensor(0.0))


def test_multiplied_out_it_is_the_sum_of_kronecker_products() -> None:
    form = Kronecker((4, 2), (3, 5), 3)
    factors = factors_of(form)
    torch.testing.assert_close(materialise(form, factors), _sum(**factors))


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(Kronecker((2, 12), (3, 20), 2), id="small A, B first"),
        pytest.param(Kronecker((6, 8), (2, 20), 3), id="small A, A first"),
        pytest.param(Kronecker((12, 2), (20, 3), 2), id="small B, A first"),
        pytest.param(Kronecker((8, 6), (20, 2), 3), id="small B, B first"),
        pytest.param(Kronecker((20, 2), (12, 3), 2), id="small B, B first, in fewer rows"),
        pytest.param(Kronecker((24, 1), (5, 3)), id="a table"),
    ],
)
def test_both_orders_and_both_layouts_agree_with_the_definition(form: Kronecker) -> None:
    factors, states = factors_of(form), random(7, form.shape[1])
    torch.testing.assert_close(apply(form, factors, states), states @ _sum(**factors).T)


def test_the_orders_of_those_are_all_there_are() -> None:
    """What the test above relies on: (A is smaller, B goes first) takes all four values."""
    forms = [((2, 12), (3, 20)), ((6, 8), (2, 20)), ((12, 2), (20, 3)), ((8, 6), (20, 2))]
    seen = set()
    for rows, columns in forms:
        form = Kronecker(rows, columns)
        right_first, left_first = form.multiply_adds
        small = rows[0] * columns[0] <= rows[1] * columns[1]
        seen.add((small, right_first < left_first))
    assert len(seen) == 4


@pytest.mark.parametrize("terms", [1, 2])
def test_no_sum_of_products_is_nearer_than_the_start(terms: int) -> None:
    """Alternating least squares from many random starts comes as near, and never nearer."""
    form = Kronecker((3, 2), (2, 4), terms)
    weight = random(6, 8)
    found = (weight - _sum(**start(form, weight))).norm()
    reached = [_alternated(form, weight, seed) for seed in range(8)]
    assert min(reached) >= found - 1e-10
    assert min(reached) == pytest.approx(float(found), rel=1e-6)


def _alternated(form: Kronecker, weight: Tensor, seed: int) -> float:
    """The distance at which alternating least squares over A and B ends."""
    left, right = factors_of(form, seed + 100).values()
    blocks = weight.reshape(form.rows[0], form.rows[1], form.columns[0], form.columns[1])
    for _ in range(200):
        units = torch.eye(left.numel(), dtype=weight.dtype).reshape(-1, *left.shape)
        left = _solved(torch.einsum("utij,tkl->ikjlu", units, right), blocks).reshape(left.shape)
        units = torch.eye(right.numel(), dtype=weight.dtype).reshape(-1, *right.shape)
        right = _solved(torch.einsum("tij,utkl->ikjlu", left, units), blocks).reshape(right.shape)
    return float((weight - _sum(left, right)).norm())


def _solved(changes: Tensor, wanted: Tensor) -> Tensor:
    """The numbers that least squares gives the unknowns; `changes` is the effect of each."""
    return torch.linalg.lstsq(changes.flatten(0, -2), wanted.reshape(-1, 1)).solution


def test_one_kronecker_product_is_found_exactly() -> None:
    left, right = random(3, 5), random(4, 2, seed=1)
    weight = torch.kron(left, right)
    found = start(Kronecker((3, 4), (5, 2)), weight)
    torch.testing.assert_close(torch.kron(found["left"][0], found["right"][0]), weight)
    assert found["left"].norm() == pytest.approx(float(found["right"].norm()))


def test_the_rank_of_a_low_rank_product_is_a_number_of_terms() -> None:
    """Columns of A and rows of B of one: the sum is U V, as the paper says."""
    weight = random(6, 2) @ random(2, 5, seed=1)
    form = Kronecker((6, 1), (1, 5), 2)
    torch.testing.assert_close(materialise(form, start(form, weight)), weight)
