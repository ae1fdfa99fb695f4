"""How far a suite has come, and how long the rest will take."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from adapterkit.comparing.suites.cell import Cell


@dataclass(frozen=True)
class Standing:
    """Cells by what has become of them.

    Attributes:
        total: All of them.
        done: Finished, now or earlier.
        running: Under way.
        failed: Kept with their error.
        seconds_left: Until the last one ends, as far as can be told.
    """

    total: int
    done: int
    running: int
    failed: int
    seconds_left: float | None


class Durations:
    """Seconds that cells took, to tell how long others will take."""

    def __init__(self) -> None:
        self._seconds: list[tuple[str, str, float]] = []

    def add(self, cell: Cell, seconds: float) -> None:
        """Remember what a finished cell took."""
        self._seconds.append((cell.task, cell.plan, seconds))

    def estimate(self, cell: Cell) -> float | None:
        """What a cell will take, by the cells most like it: of its task and plan, else of one."""
        for task, plan in ((cell.task, cell.plan), (cell.task, None), (None, cell.plan)):
            known = [s for t, p, s in self._seconds if task in (None, t) and plan in (None, p)]
            if known:
                return statistics.fmean(known)
        return statistics.fmean(s for _, _, s in self._seconds) if self._seconds else None

    def left(
        self,
        waiting: Iterable[Cell],
        running: Iterable[tuple[Cell, float]],
        unknown: int,
        slots: int,
    ) -> float | None:
        """Seconds until all cells have ended.

        Args:
            waiting: Cells to come.
            running: Cells under way, with the seconds since each was started.
            unknown: Cells to come of which no more is known.
            slots: How many run at once.
        """
        if not self._seconds:
            return None
        waits = [self.estimate(cell) or 0.0 for cell in waiting]
        waits += [statistics.fmean(s for _, _, s in self._seconds)] * unknown
        rests = [max(0.0, (self.estimate(c) or 0.0) - spent) for c, spent in running]
        together = (sum(waits) + sum(rests)) / slots
        return max([together, *rests, *waits])
