"""The score of each type or class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapterkit.comparing.analysis.analysis import type_scores
from adapterkit.comparing.charts.dots import Dot, dot_chart
from adapterkit.comparing.report.series import Series
from adapterkit.comparing.statistics.spread import Spread
from adapterkit.comparing.tables.table import Table


@dataclass(frozen=True)
class Types:
    """The scores of a task.

    Attributes:
        names: The types or classes.
        scores: Of each series the F1 by type.
        drawing: The chart as SVG; empty where there are no types.
    """

    names: tuple[str, ...]
    scores: Sequence[tuple[Series, Mapping[str, Spread]]]
    drawing: str


def types(table: Table, series: Sequence[Series]) -> Types:
    """The F1 of each type in each row."""
    scores = [(each, type_scores(each.row.runs, table.split)) for each in series]
    names = tuple(dict.fromkeys(name for _, found in scores for name in found))
    rows = [
        (
            name,
            [
                Dot(each.name, each.look, found[name].mean, found[name].sd)
                for each, found in scores
                if name in found
            ],
        )
        for name in names
    ]
    title = f"{table.task}: F1 of each {'type' if _is_ner(table) else 'class'} on {table.split}"
    left = 30.0 + 6.6 * max((len(name) for name in names), default=0)
    drawn = dot_chart(rows, title, "F1 [%]", min(left, 330.0)) if names else ""
    return Types(names, scores, drawn)


def _is_ner(table: Table) -> bool:
    return table.rows[0].runs[0].task.kind == "ner"
