"""Tables as one CSV file: a line a row, every value a column, in plain units."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from adapterkit.comparing.tables.columns import COLUMNS, Value, named_values
from adapterkit.comparing.tables.table import Table

_TABLE = ("task", "metric", "split", "protocol", "data", "reference")


def render(tables: Sequence[Table]) -> str:
    """Return the rows of all tables; notes, and what was left out, have no place in it."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([*_TABLE, *(name for column in COLUMNS for name in column.names)])
    for table in tables:
        about = [getattr(table, name) for name in _TABLE]
        for row in table.rows:
            writer.writerow(map(_cell, [*about, *named_values(row).values()]))
    return written.getvalue()


def _cell(value: Value) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
