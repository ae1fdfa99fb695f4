"""Mean and standard deviation of a figure over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """A figure over several runs.

    Attributes:
        mean: The mean.
        sd: The sample standard deviation (divisor n - 1); None of a single run, which has none.
        n: How many runs.
    """

    mean: float
    sd: float | None
    n: int


def spread(values: Iterable[float]) -> Spread:
    """Return mean, standard deviation and number of some values.

    Raises:
        ValueError: There are none.
    """
    known = list(values)
    if not known:
        raise ValueError("no values to take the mean of")
    sd = statistics.stdev(known) if len(known) > 1 else None
    return Spread(statistics.fmean(known), sd, len(known))
