"""Which form is taken for a budget."""

from __future__ import annotations

import pytest

from adapterkit.backbones.factorised.fitting import (
    FILLED,
    kronecker_candidates,
    kronecker_for,
    kronecker_table_for,
    low_rank_for,
)
from adapterkit.backbones.factorised.forms import Kronecker, LowRank

SIDES = [(384, 384), (1536, 384), (384, 1536), (768, 3072), (30522, 384)]


@pytest.mark.parametrize("share", [0.25, 0.12, 0.05])
@pytest.mark.parametrize(("rows", "columns"), SIDES)
def test_forms_use_most_of_a_budget_and_no_more(rows: int, columns: int, share: float) -> None:
    budget = int(share * rows * columns)
    for form in (kronecker_for(rows, columns, budget), low_rank_for(rows, columns, budget)):
        assert form.shape == (rows, columns)
        assert FILLED * budget <= form.count <= budget


@pytest.mark.parametrize(("rows", "columns"), SIDES[:3])
def test_the_kronecker_form_is_of_full_rank_and_the_cheapest_such(rows: int, columns: int) -> None:
    candidates = kronecker_candidates(rows, columns, rows * columns // 4)
    chosen = candidates[0]
    assert chosen.rank_bound == min(rows, columns)
    full = [form for form in candidates if form.rank_bound == min(rows, columns)]
    assert chosen.flops(1) == min(form.flops(1) for form in full)
    assert len(candidates) == len(set(candidates))


def test_a_budget_that_nothing_fills_is_met_by_the_form_of_most_parameters() -> None:
    """The sides are primes: one product is an outer one of 14 + 1 or 7 + 2, and no more fits."""
    assert kronecker_for(7, 2, 13) == Kronecker((1, 7), (2, 1))
    assert {form.count for form in kronecker_candidates(7, 2, 13)} == {9}


def test_the_rank_is_the_highest_that_fits() -> None:
    assert low_rank_for(384, 1536, 1920 * 10) == LowRank(384, 1536, 10)
    assert low_rank_for(384, 1536, 1920 * 10 - 1) == LowRank(384, 1536, 9)
    assert low_rank_for(4, 4, 1_000) == LowRank(4, 4, 4)


def test_a_table_keeps_its_rows_apart() -> None:
    """The paper's own where they fill the budget; sums where no single product does."""
    budget = 30522 * 384 // 4
    form = kronecker_table_for(30522, 384, budget)
    assert (form.rows, form.terms) == ((30522, 1), 5)
    assert FILLED * budget <= form.count <= budget
    assert kronecker_table_for(30522, 768, 3_000_000) == Kronecker((30522, 1), (96, 8))
    assert kronecker_table_for(30522, 768, 1_500_000) == Kronecker((30522, 1), (48, 16))


def test_a_budget_that_cannot_be_met_is_answered_with_one_that_can() -> None:
    with pytest.raises(ValueError, match=r"Kronecker form of a 384 x 384 .* smallest has 768\."):
        kronecker_for(384, 384, 767)
    assert kronecker_for(384, 384, 768).count == 768
    with pytest.raises(ValueError, match=r"low-rank form .* smallest has 768\."):
        low_rank_for(384, 384, 767)
    with pytest.raises(ValueError, match=r"row-preserving .* smallest has 30,906\."):
        kronecker_table_for(30522, 384, 30_905)
    assert kronecker_table_for(30522, 384, 30_906).count == 30_906
