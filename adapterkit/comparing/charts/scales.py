"""From figures to places along an axis, and round figures to mark there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_MOST_TICKS = 6


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        low: The figure at its start.
        high: The figure at its end.
        logarithmic: Whether equal distances are equal ratios.
    """

    low: float
    high: float
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a figure lies: 0 at the start, 1 at the end."""
        if self.logarithmic:
            low, high, value = math.log(self.low), math.log(self.high), math.log(value)
            return (value - low) / (high - low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round figures to mark, ascending."""
        return _log_ticks(self) if self.logarithmic else _linear_ticks(self)


def scale_of(
    values: Iterable[float], *, logarithmic: bool = False, start: float | None = None
) -> Scale:
    """The scale that has room for some figures.

    Args:
        values: The figures; for a logarithmic scale those that are positive.
        logarithmic: Whether equal distances are equal ratios.
        start: Where it starts, if not a little below the lowest figure.
    """
    known = [value for value in values if math.isfinite(value) and (value > 0 or not logarithmic)]
    if not known:
        return Scale(1.0, 10.0, True) if logarithmic else Scale(0.0, 1.0)
    low, high = min(known), max(known)
    if logarithmic:
        spare = max((high / low) ** 0.08, 1.25)
        return Scale(low / spare, high * spare, True)
    spare = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    if start is not None:
        return Scale(start, max(high, start) + spare)
    return Scale(low - spare, high + spare)


def _linear_ticks(scale: Scale) -> list[float]:
    rough = (scale.high - scale.low) / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * (1 - 1e-9))
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _log_ticks(scale: Scale) -> list[float]:
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    for multiples in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**power for power in range(first, last + 1) for m in multiples]
        inside = [tick for tick in ticks if scale.low <= tick <= scale.high]
        if 2 < len(inside) <= _MOST_TICKS:
            return inside
        if len(inside) <= 2:
            return _linear_ticks(scale)
    every = math.ceil(len(inside) / _MOST_TICKS)
    return inside[::every]
