"""Holm's correction for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that account for being one of several.

    The chance of any false "there is a difference" among them stays below the level, however they
    depend on each other: Holm (1979), *A simple sequentially rejective multiple test procedure*,
    Scandinavian Journal of Statistics 6.

    Args:
        p_values: One a comparison.

    Returns:
        The adjusted ones, in the same order.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, (len(order) - rank) * p_values[index])
        adjusted[index] = min(highest, 1.0)
    return adjusted
