"""Almost stochastic order: is a row better over its seeds, not only on average?

Del Barrio, Cuesta-Albertos and Matran (2018), *An optimal transportation approach for assessing
almost stochastic order*; brought to NLP by Dror, Shlomov and Reichart (2019), *Deep dominance: how
to properly compare deep neural models*, ACL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from adapterkit.comparing.statistics.sufficient import Array


def violation_ratio(a: Array, b: Array) -> Array:
    """Return how far scores ``a`` are from being stochastically above ``b`` (0: they are).

    The share of the squared distance of the two quantile functions (the squared 2-Wasserstein
    distance) where that of ``a`` lies below that of ``b``. The quantile functions of samples are
    steps, so the integral is an exact sum.

    Args:
        a: Array (..., scores of one row).
        b: Array (..., scores of the other), not necessarily as many.

    Returns:
        Array (...), one half where both are equal.
    """
    count_a, count_b = a.shape[-1], b.shape[-1]
    common = math.lcm(count_a, count_b)
    ends = np.union1d(
        np.arange(1, count_a + 1) * (common // count_a),
        np.arange(1, count_b + 1) * (common // count_b),
    )
    widths = np.diff(ends, prepend=0) / common
    # Step k of n holds the quantiles in ((k - 1) / n, k / n].
    steps_a = np.sort(a, axis=-1)[..., -(-ends * count_a // common) - 1]
    steps_b = np.sort(b, axis=-1)[..., -(-ends * count_b // common) - 1]
    gap = steps_b - steps_a
    distance = (gap**2 * widths).sum(axis=-1)
    violated = (np.maximum(gap, 0.0) ** 2 * widths).sum(axis=-1)
    half = np.full_like(distance, 0.5)
    return np.asarray(np.divide(violated, distance, out=half, where=distance > 0))


def epsilon_min(
    a: Sequence[float],
    b: Sequence[float],
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> float:
    """Return the upper confidence bound of the violation ratio of ``a`` over ``b``.

    Below one half, ``a`` is almost stochastically above ``b`` at that confidence; the nearer to
    zero, the more surely it is above throughout (Dror et al. 2019, section 4):

        epsilon_min = ratio - sqrt((n + m) / (n m)) sigma Phi^-1(1 - confidence),

    with sigma the standard deviation of sqrt(n m / (n + m)) (ratio* - ratio) over bootstrap draws
    of both samples.

    Args:
        a: Scores over seeds of the row that may be better.
        b: Those of the other.
        confidence: Of the bound.
        draws: Bootstrap draws.
        seed: Of the draws.

    Raises:
        ValueError: A sample is empty.
    """
    if not a or not b:
        raise ValueError("no scores to compare")
    scores_a, scores_b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    ratio = float(violation_ratio(scores_a, scores_b))
    generator = np.random.default_rng(seed)
    drawn_a = generator.choice(scores_a, size=(draws, len(scores_a)))
    drawn_b = generator.choice(scores_b, size=(draws, len(scores_b)))
    # The factor sqrt(n m / (n + m)) of sigma and its inverse in front of it cancel.
    deviation = float(np.std(violation_ratio(drawn_a, drawn_b)))
    return float(np.clip(ratio - deviation * NormalDist().inv_cdf(1 - confidence), 0.0, 1.0))
