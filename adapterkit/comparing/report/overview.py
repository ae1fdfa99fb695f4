"""The table as the page shows it: cells that can be sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapterkit.comparing.report.series import Series
from adapterkit.comparing.tables.columns import Column, shown_columns
from adapterkit.comparing.tables.table import Table


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: What it says.
        key: What it is sorted by; None stands last whichever way.
        strong: Whether it stands out.
    """

    text: str
    key: str | float | None
    strong: bool = False


@dataclass(frozen=True)
class Overview:
    """The table of a task.

    Attributes:
        columns: Its columns.
        rows: Each series with its cells.
    """

    columns: Sequence[Column]
    rows: Sequence[tuple[Series, Sequence[Cell]]]


def overview(table: Table, tables: Sequence[Table], series: Sequence[Series]) -> Overview:
    """The table of a task, with the columns that say something in any table."""
    columns = shown_columns(tables)
    rows = [(each, [_cell(column, each) for column in columns]) for each in series]
    return Overview(columns, rows)


def _cell(column: Column, series: Series) -> Cell:
    value = column.values(series.row)[0]
    key = float(value) if isinstance(value, (bool, int, float)) else value
    if column.heading == "seeds":
        key = float(len(series.row.seeds))
    best = column.heading == "score" and series.row.best
    return Cell(column.text(series.row), key, best)
