"""Everything that is said about the errors of a plan, over its seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from adapterkit.comparing.analysis.confusions import Pair, count_confusions
from adapterkit.comparing.analysis.documents import DocumentErrors, worst_documents
from adapterkit.comparing.analysis.seen import (
    SeenRecall,
    Surface,
    seen_recall,
    training_mentions,
)
from adapterkit.comparing.analysis.spans import KINDS, ErrorKind, count_errors
from adapterkit.comparing.records.record import RunRecord, ScoredSplit
from adapterkit.comparing.statistics.spread import Spread, spread
from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import Kind

WORST = 5
"""Documents that are shown of each plan."""


@dataclass(frozen=True)
class Analysis:
    """The errors of a plan.

    Attributes:
        kind: The kind of task.
        errors: NER: how often each kind of match occurs.
        seen: NER: recall on mentions that training showed, of each seed; empty where not known.
        confusions: How often what is true (None: nothing) was taken for what, in all seeds.
        seeds: How many seeds `confusions` counts.
        worst: NER: the worst documents of the first seed.
        notes: What could not be said, and why.
    """

    kind: Kind
    errors: Mapping[ErrorKind, Spread]
    seen: tuple[SeenRecall, ...]
    confusions: Mapping[Pair, int]
    seeds: int
    worst: tuple[DocumentErrors, ...]
    notes: tuple[str, ...]


def analyse(
    runs: Sequence[RunRecord],
    split: ScoredSplit,
    mentions_of: Callable[[RunRecord], frozenset[Surface]] = training_mentions,
) -> Analysis:
    """Analyse the errors of a plan.

    Args:
        runs: The plan's runs, one a seed.
        split: The split.
        mentions_of: The mentions that a run was trained on; may be one that remembers them.

    Raises:
        UserError: There is no readable prediction of a run.
    """
    kind = runs[0].task.kind
    errors: list[Counter[ErrorKind]] = []
    confusions: Counter[Pair] = Counter()
    seen: list[SeenRecall] = []
    notes: list[str] = []
    worst: tuple[DocumentErrors, ...] = ()
    for run in runs:
        predictions = run.predictions(split)
        confusions += count_confusions(predictions, kind)
        if kind != "ner":
            continue
        errors.append(count_errors(predictions))
        worst = worst or worst_documents(predictions, WORST)
        try:
            seen.append(seen_recall(predictions, mentions_of(run)))
        except UserError as error:
            notes.append(f"mentions seen in training are not known: {_in_a_line(error)}")
    return Analysis(
        kind=kind,
        errors={name: spread(each[name] for each in errors) for name in KINDS} if errors else {},
        seen=tuple(seen) if len(seen) == len(runs) else (),
        confusions=confusions,
        seeds=len(runs),
        worst=worst,
        notes=tuple(dict.fromkeys(notes)),
    )


def type_scores(runs: Collection[RunRecord], split: ScoredSplit) -> dict[str, Spread]:
    """The F1 of each type or class, as the runs recorded it."""
    recorded = [run.manifest.metrics[split].get("per_type", {}) for run in runs]
    names = list(dict.fromkeys(name for each in recorded for name in each))
    return {name: spread(each[name]["f1"] for each in recorded if name in each) for name in names}


def _in_a_line(error: UserError) -> str:
    parts = (error.problem, error.found and f"({error.found})", error.where)
    return " ".join(part for part in parts if part)
