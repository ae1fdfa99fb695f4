from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.comparing.statistics.holm import holm


def test_the_example_of_a_textbook():
    # Four comparisons: 4 * 0.005, 3 * 0.01, then 2 * 0.03 and never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_one_comparison_needs_no_correction():
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_no_p_value_is_above_one():
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def closed_test(p_values, index):
    """Holm's as a closed test: the largest Bonferroni p of all subsets that hold the hypothesis."""
    others = [i for i in range(len(p_values)) if i != index]
    return max(
        min(1.0, (len(subset) + 1) * min(p_values[i] for i in (index, *subset)))
        for size in range(len(others) + 1)
        for subset in itertools.combinations(others, size)
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_it_is_the_closed_test_of_bonferroni(p_values):
    expected = [closed_test(p_values, index) for index in range(len(p_values))]
    assert holm(p_values) == pytest.approx(expected)
