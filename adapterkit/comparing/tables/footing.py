"""What stands above and below tables: what they are of, notes, and runs that were left out."""

from __future__ import annotations

from collections.abc import Sequence

from adapterkit.comparing.records.left_out import LeftOut
from adapterkit.comparing.tables.table import Table


def caption(table: Table) -> str:
    """Return what a table is of, in a line."""
    protocol = f"protocol {table.protocol}, " if table.protocol else ""
    return f"{table.metric} on {table.split}, {protocol}{table.data}"


def notes_of(table: Table, tables: Sequence[Table]) -> tuple[str, ...]:
    """Return the notes of a table that are not those of all tables."""
    shared = shared_notes(tables)
    return tuple(note for note in table.notes if note not in shared)


def left_out_of(table: Table, tables: Sequence[Table]) -> tuple[LeftOut, ...]:
    """Return what a table leaves out and not all tables do."""
    shared = shared_left_out(tables)
    return tuple(item for item in table.left_out if item not in shared)


def shared_notes(tables: Sequence[Table]) -> tuple[str, ...]:
    """Return the notes of all tables, where there are several."""
    first, *others = tables
    shared = [n for n in first.notes if all(n in other.notes for other in others)]
    return tuple(shared) if others else ()


def shared_left_out(tables: Sequence[Table]) -> tuple[LeftOut, ...]:
    """Return what all tables leave out, where there are several: runs of no known task."""
    first, *others = tables
    shared = [item for item in first.left_out if all(item in o.left_out for o in others)]
    return tuple(shared) if others else ()
