"""The rows of all tables with the looks they have everywhere on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapterkit.comparing.charts.palette import Look, look, marker
from adapterkit.comparing.charts.svg import element
from adapterkit.comparing.tables.row import Row
from adapterkit.comparing.tables.table import Table


@dataclass(frozen=True)
class Series:
    """A row and how it looks.

    Attributes:
        row: The row.
        name: What it is called.
        look: How it looks; the same wherever a row of that name stands.
    """

    row: Row
    name: str
    look: Look

    @property
    def symbol(self) -> str:
        """Its marker, as a drawing."""
        drawn = marker(self.look, 8.0, 8.0)
        return element("svg", drawn, width=16, height=16, aria_hidden="true", _class="symbol")


def series_of(tables: Sequence[Table]) -> list[list[Series]]:
    """The rows of each table, with looks."""
    several = len({row.backbone for table in tables for row in table.rows}) > 1
    named = [[(_name(row, several), row) for row in table.rows] for table in tables]
    names = list(dict.fromkeys(name for rows in named for name, _ in rows))
    looks = {name: look(index) for index, name in enumerate(names)}
    return [[Series(row, name, looks[name]) for name, row in rows] for rows in named]


def _name(row: Row, with_backbone: bool) -> str:
    name = f"{row.plan} ({row.settings})" if row.settings else row.plan
    return f"{name} on {row.backbone}" if with_backbone else name
