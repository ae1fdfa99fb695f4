"""Tables for the terminal: one where it is wide enough, otherwise in parts."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from adapterkit.comparing.records.left_out import LeftOut
from adapterkit.comparing.tables.columns import Column, shown_columns
from adapterkit.comparing.tables.footing import (
    caption,
    left_out_of,
    notes_of,
    shared_left_out,
    shared_notes,
)
from adapterkit.comparing.tables.row import Row
from adapterkit.comparing.tables.table import Table

_PARTS = ("score", "size", "cost")


def render(tables: Sequence[Table]) -> list[RenderableType]:
    """Return what a rich console prints, one part below the other."""
    columns = shown_columns(tables)
    shown: list[RenderableType] = []
    for table in tables:
        shown += [Text(table.task, style="bold"), Text(caption(table)), Text("")]
        shown += [_Grid(table, columns), Text("")]
        shown += _foot(notes_of(table, tables), left_out_of(table, tables))
    notes, left_out = shared_notes(tables), shared_left_out(tables)
    if notes or left_out:
        shown += [Text("All tables", style="bold"), *_foot(notes, left_out)]
    return shown


class _Grid:
    """The rows of a table, in as many parts as its width needs."""

    def __init__(self, table: Table, columns: Sequence[Column]) -> None:
        self._table = table
        # They stand below the plan, which is folded where it has to be.
        self._columns = [column for column in columns if column.heading != "settings"]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self._grid(self._columns)
        if Measurement.get(console, options.update(width=10_000), whole).maximum <= (
            options.max_width
        ):
            yield whole
            return
        for number, part in enumerate(_PARTS):
            if number:
                yield Text("")
            yield self._grid([c for c in self._columns if c.topic in ("plan", part)])

    def _grid(self, columns: Sequence[Column]) -> RichTable:
        grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        for column in columns:
            heading = f"{column.heading}\n{column.unit}" if column.unit else column.heading
            if column.is_number:
                grid.add_column(heading, justify="right", no_wrap=True)
            else:
                grid.add_column(heading, overflow="fold")
        for row in self._table.rows:
            grid.add_row(*(_cell(column, row) for column in columns))
        return grid


def _cell(column: Column, row: Row) -> Text:
    if column.heading == "plan" and row.settings:
        return Text(f"{row.plan}\n  {row.settings}")
    best = column.heading == "score" and row.best
    return Text(column.text(row), style="bold" if best else "")


def _foot(notes: Sequence[str], left_out: Sequence[LeftOut]) -> list[RenderableType]:
    lines = [Text(f"note: {note}") for note in notes]
    lines += [Text(f"left out: {i.path}: {i.reason}", style="yellow") for i in left_out]
    return [*lines, Text("")]
