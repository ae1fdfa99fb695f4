"""Learning curves: the score on dev after each epoch, as runs logged it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from adapterkit.comparing.charts.lines import Line, line_chart
from adapterkit.comparing.records.record import RunRecord
from adapterkit.comparing.report.series import Series
from adapterkit.comparing.tables.table import Table
from adapterkit.runs.directory import RunDirectory

_DEPTH = 0.3
"""How far below the best score the chart reaches; the first epochs of some plans learn nothing."""


@dataclass(frozen=True)
class Curves:
    """The curves of a task.

    Attributes:
        drawing: The chart as SVG; empty where no run has a log.
        ends: Of each series that has a curve the epochs, and the best score and its epoch.
        missing: The series without a curve.
        cut: Scores below this one are drawn at the edge; None where none are.
    """

    drawing: str
    ends: Sequence[tuple[Series, int, float, int]]
    missing: tuple[str, ...]
    cut: float | None


def curves(table: Table, series: Sequence[Series]) -> Curves:
    """Draw, for each row, the mean over its seeds after each epoch that all of them reached."""
    found = [(each, _mean_curve(each.row.runs)) for each in series]
    known = [(each, curve) for each, curve in found if curve]
    missing = tuple(each.name for each, curve in found if not curve)
    if not known:
        return Curves("", (), missing, None)
    scores = [score for _, curve in known for _, score in curve]
    low = max(scores) - _DEPTH
    drawn = line_chart(
        [Line(each.name, each.look, curve) for each, curve in known],
        f"{table.task}: learning curves",
        "epoch",
        f"{table.metric} on dev [%]",
        lambda epoch: f"{epoch:.0f}" if epoch == round(epoch) else "",
        low,
    )
    return Curves(
        drawn, [_end(*each) for each in known], missing, low if min(scores) < low else None
    )


def _end(series: Series, curve: tuple[tuple[float, float], ...]) -> tuple[Series, int, float, int]:
    epoch, best = max(curve, key=lambda place: place[1])
    return series, round(curve[-1][0]), best, round(epoch)


def _mean_curve(runs: Sequence[RunRecord]) -> tuple[tuple[float, float], ...]:
    logged = [_logged(run) for run in runs]
    common = set.intersection(*map(set, logged)) if logged else set()
    return tuple((epoch, fmean(each[epoch] for each in logged)) for epoch in sorted(common))


def _logged(run: RunRecord) -> dict[float, float]:
    """The score on dev by epoch."""
    scores = {}
    for record in RunDirectory(run.path).read_log():
        epoch, score = record.get("epoch"), record.get("eval_score")
        if isinstance(epoch, (int, float)) and isinstance(score, (int, float)):
            scores[round(float(epoch), 3)] = float(score)
    return scores
