"""Tables for the terminal: what each row reached, and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as RichTable


def render(tables: Sequence[Table]) -> list[RenderableType]:
    """Return what a rich console prints: two narrow tables a task instead of one wide one."""
    from rich.text import Text

    columns = shown_columns(tables)
    reached = [column for column in columns if column.topic in ("plan", "reached")]
    cost = [column for column in columns if column.topic in ("plan", "cost")]
    shown: list[RenderableType] = []
    for table in tables:
        shown += [Text(table.task, style="bold"), Text(caption(table)), Text("")]
        shown += [_grid(table, reached), Text(""), _grid(table, cost), Text("")]
        shown += _foot(notes_of(table, tables), left_out_of(table, tables))
    foot = _foot(shared_notes(tables), shared_left_out(tables))
    return [*shown, Text("All tables", style="bold"), *foot] if len(foot) > 1 else shown


def _grid(table: Table, columns: Sequence[Column]) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable

    grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        heading = f"{column.heading}\n{column.unit}" if column.unit else column.heading
        side = "right" if column.is_number else "left"
        fold = not column.is_number
        grid.add_column(
            heading,
            justify="right" if side == "right" else "left",
            no_wrap=not fold,
            overflow="fold",
        )
    for row in table.rows:
        grid.add_row(*(_cell(column, row) for column in columns))
    return grid


def _cell(column: Column, row: Row) -> RenderableType:
    from rich.text import Text

    best = column.heading == "score" and row.best
    return Text(column.text(row), style="bold" if best else "")


def _foot(notes: Sequence[str], left_out: Sequence[LeftOut]) -> list[RenderableType]:
    from rich.text import Text

    lines = [Text(f"note: {note}") for note in notes]
    lines += [Text(f"left out: {i.path}: {i.reason}", style="yellow") for i in left_out]
    return [*lines, Text("")]
