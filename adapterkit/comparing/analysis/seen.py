"""Recall on mentions that training showed, and on those that it did not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from adapterkit.comparing.analysis.spans import mentions
from adapterkit.comparing.records.record import Prediction, RunRecord
from adapterkit.runs.errors import UserError
from adapterkit.tasks.examples import NerExample, all_of
from adapterkit.tasks.hub import is_cached
from adapterkit.tasks.schemes import spans_from_tags
from adapterkit.tasks.sources import load_data

Surface = tuple[str, str]
"""The words of a mention, whatever their case, and its type."""


@dataclass(frozen=True)
class Recall:
    """How many gold mentions were found exactly.

    Attributes:
        found: Those found.
        total: All.
    """

    found: int
    total: int

    @property
    def value(self) -> float | None:
        """The share that was found; None where there are none to find."""
        return self.found / self.total if self.total else None


@dataclass(frozen=True)
class SeenRecall:
    """Recall on two kinds of mention.

    Attributes:
        seen: On those that training showed, in the same words and with the same type.
        unseen: On all others.
    """

    seen: Recall
    unseen: Recall


def training_mentions(record: RunRecord) -> frozenset[Surface]:
    """What the mentions that a run was trained on read like.

    Raises:
        UserError: They cannot be known: the training data are gone or have changed, or the run
            was scored by word pieces.
    """
    if record.manifest.protocol != "word":
        raise UserError("mentions are not told by their words", found=record.manifest.protocol)
    task, data = record.task, record.manifest.data
    found = load_data(task, _source(record), ("train",))
    expected = data.splits["train"].sha256 if "train" in data.splits else "of no file"
    if found.sha256["train"] != expected:
        raise UserError("the training data have changed", where=found.source.location)
    limit = record.manifest.hyperparameters.get("limit_train")
    examples = all_of(NerExample, found.splits["train"])[:limit]
    return frozenset(
        _surface(example.words, (span.start, span.end, span.label))
        for example in examples
        for span in spans_from_tags(example.tags)
    )


def seen_recall(predictions: Iterable[Prediction], trained_on: frozenset[Surface]) -> SeenRecall:
    """Recall of a run on mentions that are among `trained_on`, and on those that are not."""
    found, total = {True: 0, False: 0}, {True: 0, False: 0}
    for each in predictions:
        for mention in mentions(each.gold):
            seen = _surface(each.words, mention) in trained_on
            total[seen] += 1
            found[seen] += mention in each.predicted
    return SeenRecall(Recall(found[True], total[True]), Recall(found[False], total[False]))


def _surface(words: tuple[str, ...], mention: tuple[int, int, str]) -> Surface:
    start, end, label = mention
    return " ".join(words[start:end]).casefold(), label


def _source(record: RunRecord) -> str | Path:
    """Where the run found its data, without asking the network."""
    data = record.manifest.data
    if data.source == "sample":
        return "sample"
    if data.source == "hub" and is_cached(record.task, ("train",)):
        return "hub"
    if data.source != "hub" and Path(data.location).is_dir():
        return data.location
    raise UserError("the training data are not at hand", where=data.location)
