"""What a point of score costs: Pareto fronts of score against parameters, bytes and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapterkit.comparing.charts.figures import short
from adapterkit.comparing.charts.points import Point, pareto_chart
from adapterkit.comparing.report.series import Series
from adapterkit.comparing.tables.row import Row
from adapterkit.comparing.tables.table import Table


@dataclass(frozen=True)
class Front:
    """A chart, or why there is none.

    Attributes:
        name: What cost is.
        drawing: The chart as SVG; empty where there is none.
        missing: The series that have no such figure.
    """

    name: str
    drawing: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Cost:
    name: str
    value: Callable[[Row], float | None]
    says: Callable[[float], str]


def _bytes(value: float) -> str:
    return f"{short(value)}B"


_COSTS = (
    _Cost("trainable parameters", lambda row: row.trainable, short),
    _Cost("bytes shipped", lambda row: row.shipped_bytes, _bytes),
    _Cost("training time [minutes]", lambda row: row.train_seconds.mean / 60, short),
    _Cost(
        "median latency of one text [ms]",
        lambda row: row.inference.p50_ms if row.inference else None,
        short,
    ),
)


def fronts(table: Table, series: Sequence[Series]) -> list[Front]:
    """The chart of each kind of cost."""
    return [_front(cost, table, series) for cost in _COSTS]


def _front(cost: _Cost, table: Table, series: Sequence[Series]) -> Front:
    costs = [(each, cost.value(each.row)) for each in series]
    # Nothing costs nothing on a logarithmic axis: it stands beside the chart.
    points = [
        Point(each.name, each.look, value, each.row.score.mean, each.row.score.sd)
        for each, value in costs
        if value is not None and value > 0
    ]
    missing = tuple(each.name for each, value in costs if not value)
    if not points:
        return Front(cost.name, "", missing)
    title = f"{table.task}: {table.metric} against {cost.name}"
    drawn = pareto_chart(points, title, cost.name, f"{table.metric} [%]", cost.says)
    return Front(cost.name, drawn, missing)
