"""Splitting a side in factors."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.backbones.factorised.factors import balanced_factors, divisor_pairs
from tests.backbones.factorised.small import few


@few
@given(st.integers(1, 3000))
def test_pairs_are_all_there_are(n: int) -> None:
    assert divisor_pairs(n) == tuple((a, n // a) for a in range(1, n + 1) if n % a == 0)


@few
@given(st.integers(1, 120), st.integers(2, 3))
def test_no_factors_are_more_even(n: int, count: int) -> None:
    divisors = [a for a, _ in divisor_pairs(n)]
    every = [f for f in product(divisors, repeat=count) if prod(f) == n]
    factors = balanced_factors(n, count)
    assert prod(factors) == n
    assert sum(factors) == min(map(sum, every))
    assert factors[count // 2] == max(factors)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (768, (4, 4, 4, 4, 3)),
        (3072, (4, 4, 8, 6, 4)),
        (1024, (4, 4, 4, 4, 4)),
        (4096, (4, 4, 8, 8, 4)),
    ],
)
def test_the_rule_gives_the_shapes_of_the_paper(n: int, expected: tuple[int, ...]) -> None:
    assert balanced_factors(n, 5) == expected


def test_a_prime_leaves_ones() -> None:
    assert sorted(balanced_factors(13, 3)) == [1, 1, 13]


@pytest.mark.parametrize(("n", "count"), [(0, 2), (6, 0)])
def test_what_cannot_be_split_is_refused(n: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"{n} cannot be split in {count}"):
        balanced_factors(n, count)
