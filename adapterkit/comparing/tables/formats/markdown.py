"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adapterkit.comparing.records.left_out import LeftOut
from adapterkit.comparing.tables.columns import Column, shown_columns, titles
from adapterkit.comparing.tables.footing import (
    caption,
    left_out_of,
    notes_of,
    shared_left_out,
    shared_notes,
)
from adapterkit.comparing.tables.row import Row
from adapterkit.comparing.tables.table import Table


def render(tables: Sequence[Table]) -> str:
    """Return tables as Markdown, each under a heading of its own."""
    columns = shown_columns(tables)
    lines: list[str] = []
    for table in tables:
        lines += [f"## {_escape(table.task)}", "", f"{_escape(caption(table))}.", ""]
        lines += _grid(table, columns)
        lines += _foot(notes_of(table, tables), left_out_of(table, tables), "Left out:")
    foot = _foot(shared_notes(tables), shared_left_out(tables), "Left out of every table:")
    if foot:
        lines += ["## All tables", "", *foot]
    return "\n".join(lines).rstrip("\n") + "\n"


def _grid(table: Table, columns: Sequence[Column]) -> list[str]:
    rules = ("---:" if column.is_number else "---" for column in columns)
    return [
        _line(map(_escape, titles(columns))),
        _line(rules),
        *(_line(_cell(column, row) for column in columns) for row in table.rows),
        "",
    ]


def _cell(column: Column, row: Row) -> str:
    text = _escape(column.text(row))
    if column.heading == "plan":
        return f"`{column.text(row)}`".replace("|", "\\|")
    return f"**{text}**" if column.heading == "score" and row.best else text


def _foot(notes: Sequence[str], left_out: Sequence[LeftOut], title: str) -> list[str]:
    lines = [f"- {_escape(note)}" for note in notes]
    if left_out:
        lines += [*([""] if lines else []), title, ""]
        lines += [f"- `{item.path}`: {_escape(item.reason)}" for item in left_out]
    return [*lines, ""] if lines else []


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    for character in "\\`*_|<":
        text = text.replace(character, f"\\{character}")
    return text
