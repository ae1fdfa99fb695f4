"""The page: every section of every task, as one HTML file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from adapterkit.comparing.charts.figures import percent, signed_percent
from adapterkit.comparing.report.curves import Curves, curves
from adapterkit.comparing.report.fronts import Front, fronts
from adapterkit.comparing.report.mistakes import Mistakes, mistakes
from adapterkit.comparing.report.overview import Overview, overview
from adapterkit.comparing.report.series import Series, series_of
from adapterkit.comparing.report.step_map import StepMap, step_map
from adapterkit.comparing.report.types import Types, types
from adapterkit.comparing.tables.footing import (
    caption,
    left_out_of,
    notes_of,
    shared_left_out,
    shared_notes,
)
from adapterkit.comparing.tables.table import Table

# Characters that HTML forbids, and surrogates, which no encoding can write.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class TaskView:
    """A task on the page.

    Attributes:
        id: Starts the names of its sections.
        table: Its table.
        caption: What the table is of.
        series: The rows with their looks.
        overview: The table itself.
        fronts: What scores cost.
        curves: How they came about.
        types: Scores of each type.
        steps: Which steps learn and matter.
        mistakes: What is wrong.
    """

    id: str
    table: Table
    caption: str
    series: Sequence[Series]
    overview: Overview
    fronts: Sequence[Front]
    curves: Curves
    types: Types
    steps: StepMap
    mistakes: Mistakes


def render_report(tables: Sequence[Table], *, title: str = "Comparison of plans") -> str:
    """Return a page with tables, charts and errors.

    It needs nothing from outside, follows the reader's light or dark setting, can be printed, and
    its table can be sorted and filtered with the keyboard.

    Args:
        tables: One a task.
        title: Title of the page.

    Raises:
        UserError: The predictions of a run cannot be read.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("adapterkit.comparing.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"svg": Markup, "percent": percent, "signed": signed_percent}
    views = [
        _view(number, table, tables, series)
        for number, (table, series) in enumerate(zip(tables, series_of(tables), strict=True))
        if table.rows
    ]
    page = environment.get_template("page.html.j2").render(
        title=title,
        views=views,
        empty=[table for table in tables if not table.rows],
        shared_notes=shared_notes(tables) if tables else (),
        shared_left_out=shared_left_out(tables) if tables else (),
        notes_of=lambda table: notes_of(table, tables),
        left_out_of=lambda table: left_out_of(table, tables),
    )
    return _FORBIDDEN.sub("\ufffd", page)


def _view(number: int, table: Table, tables: Sequence[Table], series: Sequence[Series]) -> TaskView:
    return TaskView(
        id=f"t{number}",
        table=table,
        caption=caption(table),
        series=series,
        overview=overview(table, tables, series),
        fronts=fronts(table, series),
        curves=curves(table, series),
        types=types(table, series),
        steps=step_map(series),
        mistakes=mistakes(table, series, f"t{number}-kind-"),
    )
