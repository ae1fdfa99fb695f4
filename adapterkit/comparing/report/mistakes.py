"""What each row gets wrong, as the page shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from adapterkit.comparing.analysis.analysis import Analysis, analyse
from adapterkit.comparing.analysis.seen import Surface, training_mentions
from adapterkit.comparing.analysis.spans import KINDS
from adapterkit.comparing.charts.bars import stacked_chart, swatch
from adapterkit.comparing.records.record import RunRecord
from adapterkit.comparing.report.sentences import Marked, mark
from adapterkit.comparing.report.series import Series
from adapterkit.comparing.tables.table import Table
from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import Kind

_SENTENCES = 12
"""Sentences that are shown of a document."""


@dataclass(frozen=True)
class Document:
    """A document with many errors.

    Attributes:
        name: Its id.
        errors: How many.
        correct: Mentions that are right.
        total: Sentences in it.
        wrong: Sentences with errors.
        shown: Those that are shown.
    """

    name: str
    errors: int
    correct: int
    total: int
    wrong: int
    shown: tuple[Marked, ...]


@dataclass(frozen=True)
class ConfusionMatrix:
    """What is true against what was predicted, mean counts of a seed.

    Attributes:
        names: Types or classes, in the order of the task.
        rows: For each name, and last for nothing, what it was taken for: each name, and nothing.
        with_nothing: Whether there is a row and a column for nothing.
        most: The largest count off the diagonal.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    with_nothing: bool
    most: float


@dataclass(frozen=True)
class SeriesMistakes:
    """The errors of a row.

    Attributes:
        series: The row.
        analysis: What is known of them.
        seen: Mean recall on mentions that training showed; None where not known.
        unseen: Mean recall on the others.
        confusions: Which types or classes are taken for which.
        documents: The worst documents.
    """

    series: Series
    analysis: Analysis
    seen: float | None
    unseen: float | None
    confusions: ConfusionMatrix
    documents: tuple[Document, ...]


@dataclass(frozen=True)
class Mistakes:
    """The errors of all rows of a task.

    Attributes:
        kind: The kind of task.
        kinds: Kinds of error, each with a sample of its hatch.
        rows: The rows.
        drawing: How often each kind of error is made, as SVG; empty where there are no mentions.
        seen: How many gold mentions training showed, and how many it did not; None if not known.
        notes: What could not be said, and why.
    """

    kind: Kind
    kinds: tuple[tuple[str, str], ...]
    rows: tuple[SeriesMistakes, ...]
    drawing: str
    seen: tuple[int, int] | None
    notes: tuple[str, ...]


def mistakes(table: Table, series: Sequence[Series], prefix: str) -> Mistakes:
    """Analyse the errors of each row.

    Args:
        table: The table.
        series: Its rows.
        prefix: Starts the names of hatches, which must differ between tables of a page.
    """
    remembered = _remembering(training_mentions)
    rows = [_row(each, analyse(each.row.runs, table.split, remembered)) for each in series]
    wrong = KINDS[1:]
    kind = rows[0].analysis.kind
    drawn = ""
    if kind == "ner":
        drawn = stacked_chart(
            [each.look.key for each in series],
            wrong,
            [[row.analysis.errors[name].mean for name in wrong] for row in rows],
            f"{table.task}: errors on {table.split} by kind, mean of the seeds",
            prefix,
            lambda count: f"{count:,.0f}",
        )
    first = next((each for row in rows for each in row.analysis.seen), None)
    return Mistakes(
        kind,
        tuple((name, swatch(prefix, place)) for place, name in enumerate(wrong)),
        tuple(rows),
        drawn,
        (first.seen.total, first.unseen.total) if first else None,
        tuple(dict.fromkeys(note for row in rows for note in row.analysis.notes)),
    )


def _row(series: Series, analysis: Analysis) -> SeriesMistakes:
    labels = series.row.runs[0].task.labels
    return SeriesMistakes(
        series,
        analysis,
        _mean([each.seen.value for each in analysis.seen]),
        _mean([each.unseen.value for each in analysis.seen]),
        _matrix(analysis, labels),
        tuple(
            Document(
                each.document,
                each.errors,
                each.correct,
                len(each.sentences),
                len(each.wrong_sentences),
                tuple(mark(sentence) for sentence in each.wrong_sentences[:_SENTENCES]),
            )
            for each in analysis.worst
        ),
    )


def _matrix(analysis: Analysis, labels: Sequence[str]) -> ConfusionMatrix:
    with_nothing = analysis.kind != "classification"
    names: list[str | None] = [*labels, *([None] if with_nothing else [])]
    rows = [
        [analysis.confusions.get((gold, predicted), 0) / analysis.seeds for predicted in names]
        for gold in names
    ]
    wrong = [count for i, row in enumerate(rows) for j, count in enumerate(row) if i != j and count]
    return ConfusionMatrix(
        tuple(labels), tuple(map(tuple, rows)), with_nothing, max(wrong, default=0.0)
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _remembering(
    read: Callable[[RunRecord], frozenset[Surface]],
) -> Callable[[RunRecord], frozenset[Surface]]:
    """As `read`, but each training split is read once."""
    known: dict[tuple[str, str, str], frozenset[Surface] | UserError] = {}

    def remembered(run: RunRecord) -> frozenset[Surface]:
        data, limit = run.manifest.data, run.manifest.hyperparameters.get("limit_train")
        split = data.splits.get("train")
        key = (data.location, split.sha256 if split else "", f"{limit} {run.manifest.protocol}")
        if key not in known:
            try:
                known[key] = read(run)
            except UserError as error:
                known[key] = error
        found = known[key]
        if isinstance(found, UserError):
            raise found
        return found

    return remembered
