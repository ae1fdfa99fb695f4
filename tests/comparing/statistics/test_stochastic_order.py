from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from adapterkit.comparing.statistics.stochastic_order import epsilon_min, violation_ratio

DEEPSIG = Path(__file__).with_name("deepsig.json")
PAIRS = [
    ([0.80, 0.81, 0.79, 0.82, 0.80], [0.78, 0.80, 0.79, 0.81, 0.77]),
    ([0.80, 0.81, 0.79], [0.78, 0.80, 0.79, 0.84, 0.77]),
    ([0.7, 0.9], [0.78, 0.80, 0.79]),
    ([0.5], [0.4, 0.6]),
]


def slow_ratio(a, b, steps=20_000):
    """The violation ratio by the midpoint rule, from quantile functions written out."""

    def quantile(scores, t):
        ordered = sorted(scores)
        covered = 0.0
        for score in ordered:
            covered += 1 / len(ordered)
            if t <= covered:
                return score
        return ordered[-1]

    violated = distance = 0.0
    for step in range(steps):
        t = (step + 0.5) / steps
        gap = quantile(b, t) - quantile(a, t)
        distance += gap**2
        violated += gap**2 if gap > 0 else 0.0
    return violated / distance


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_ratio_is_that_of_the_integral(a, b):
    assert violation_ratio(np.array(a), np.array(b)) == pytest.approx(slow_ratio(a, b), abs=1e-3)


def test_clear_orders():
    high, low = [0.9, 0.92, 0.95], [0.1, 0.2, 0.3, 0.15]
    assert epsilon_min(high, low) == 0
    assert epsilon_min(low, high) == 1
    assert violation_ratio(np.array(high), np.array(low)) == 0


def test_equal_scores_are_half_and_half():
    assert violation_ratio(np.array([0.5, 0.6]), np.array([0.6, 0.5])) == 0.5
    assert epsilon_min([0.5, 0.5], [0.5, 0.5]) == 0.5


def test_the_two_directions_complement_each_other():
    a, b = map(np.array, PAIRS[0])
    assert violation_ratio(a, b) + violation_ratio(b, a) == pytest.approx(1)


def test_the_bound_is_the_ratio_and_its_bootstrapped_error():
    a, b = PAIRS[0]
    generator = np.random.default_rng(4)
    drawn_a = generator.choice(a, size=(300, len(a)))
    drawn_b = generator.choice(b, size=(300, len(b)))
    ratios = [float(violation_ratio(x, y)) for x, y in zip(drawn_a, drawn_b, strict=True)]
    expected = slow_ratio(a, b) + 1.6448536269514722 * statistics.pstdev(ratios)
    assert epsilon_min(a, b, draws=300, seed=4) == pytest.approx(min(expected, 1), abs=2e-3)


@pytest.mark.parametrize("pair", json.loads(DEEPSIG.read_text())["pairs"])
def test_it_agrees_with_deepsig(pair):
    """What another library says of the same scores; see ``benchmarks/aso_peer.py``."""
    ratio = float(violation_ratio(np.array(pair["a"]), np.array(pair["b"])))
    assert ratio == pytest.approx(pair["violation_ratio"], abs=2e-3)
    bound = epsilon_min(pair["a"], pair["b"])
    # Both are bootstraps, deepsig's one of 500 draws and with integrals in steps of 0.005.
    assert bound == pytest.approx(pair["epsilon_min"], abs=0.05)


def test_no_scores():
    with pytest.raises(ValueError, match="no scores"):
        epsilon_min([], [0.5])
