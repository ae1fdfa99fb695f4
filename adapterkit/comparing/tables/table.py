"""The table of one task."""

from __future__ import annotations

from dataclasses import dataclass

from adapterkit.comparing.records.left_out import LeftOut
from adapterkit.comparing.records.record import ScoredSplit
from adapterkit.comparing.tables.row import Row


@dataclass(frozen=True)
class Table:
    """Rows that can be compared.

    Attributes:
        task: The task's name.
        metric: Which figure the score is.
        protocol: How NER was scored, ``word`` or ``nlpie``.
        data: Where the data came from, in words.
        rows: One a plan, in ascending order of trainable parameters.
        notes: What a reader of the table must know.
        left_out: Runs of this task, or of one that is unknown, that are not in it.
        split: The split that was scored.
        reference: The plan that differences are to; None where no row has it.
    """

    task: str
    metric: str
    protocol: str
    data: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    split: ScoredSplit = "test"
    reference: str | None = None
