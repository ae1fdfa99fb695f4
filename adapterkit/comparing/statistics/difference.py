"""The difference of two rows, with how sure it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A difference of scores; see `bootstrap.paired_bootstrap`.

    Attributes:
        mean: The score of the row less that of the reference.
        low: Lower end of the 95 % confidence interval.
        high: Upper end.
        p: The two-sided p-value of "there is no difference".
    """

    mean: float
    low: float
    high: float
    p: float
