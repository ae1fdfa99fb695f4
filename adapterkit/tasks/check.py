"""Checking a task's data against its configuration, and the splits against each other."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from adapterkit.tasks.config import Expected, TaskConfig
from adapterkit.tasks.examples import Example, NerExample
from adapterkit.tasks.schemes import SchemeError, normalise, spans_from_tags
from adapterkit.tasks.sources import TaskData

Severity = Literal["error", "warning", "note"]

_LONG_ENOUGH = 20
"""Characters from which a repeated text is no mere heading."""


@dataclass(frozen=True)
class Problem:
    """Something found: an error (data and configuration disagree), a warning or a note."""

    severity: Severity
    message: str


@dataclass(frozen=True)
class SplitCounts:
    """Counts of one split.

    Attributes:
        examples: Sentences or texts.
        documents: Different documents.
        words: Words of NER sentences; blank-separated words of texts.
        longest: Words of the longest example.
        labels: Mentions of each type, or examples of each class.
        without_label: Examples with no mention or class.
        repeated: Examples whose words stood before in the same split.
    """

    examples: int
    documents: int
    words: int
    longest: int
    labels: Mapping[str, int]
    without_label: int
    repeated: int


@dataclass(frozen=True)
class Overlap:
    """What two splits share: documents, and the second's texts that also stand in the first."""

    first: str
    second: str
    documents: int
    texts: int
    long_texts: int


@dataclass(frozen=True)
class CheckReport:
    """The outcome of `check_task`."""

    task: str
    source: str
    splits: Mapping[str, SplitCounts]
    overlaps: tuple[Overlap, ...]
    problems: tuple[Problem, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing worse than a warning was found."""
        return not any(problem.severity == "error" for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {"ok": self.is_ok, **asdict(self)}


def check_task(task: TaskConfig, data: TaskData) -> CheckReport:
    """Count a task's data and look for what would spoil a result.

    Compared with ``task.expected`` are only data that should be the corpus itself: neither the
    bundled sample nor the hub's conversions. Those have their own counts under ``hub``.
    """
    counts = {split: _count(task, examples) for split, examples in data.splits.items()}
    overlaps = tuple(
        _overlap(first, second, data) for first, second in itertools.combinations(data.splits, 2)
    )
    problems = [Problem("note", note) for note in data.notes]
    for split, found in counts.items():
        problems.extend(_compare(task, data, split, found))
        problems.extend(_judge(task, split, found))
    problems.extend(_judge_ids(data))
    problems.extend(_judge_tags(data))
    for overlap in overlaps:
        problems.extend(_judge_overlap(overlap, _known_shared(task, overlap)))
    source = f"{data.source.kind}: {data.source.location}"
    return CheckReport(task.name, source, counts, overlaps, tuple(problems))


def _count(task: TaskConfig, examples: Sequence[Example]) -> SplitCounts:
    labels = Counter(label for example in examples for label in _labels(example))
    lengths = [len(_words(example)) for example in examples]
    return SplitCounts(
        examples=len(examples),
        documents=len({example.document for example in examples}),
        words=sum(lengths),
        longest=max(lengths),
        labels={label: labels[label] for label in task.labels},
        without_label=sum(not any(_labels(example)) for example in examples),
        repeated=len(examples) - len({_words(example) for example in examples}),
    )


def _words(example: Example) -> tuple[str, ...]:
    return example.words if isinstance(example, NerExample) else tuple(example.text.split())


def _labels(example: Example) -> Iterator[str]:
    if isinstance(example, NerExample):
        return (span.label for span in spans_from_tags(example.tags))
    return iter(example.labels)


def _overlap(first: str, second: str, data: TaskData) -> Overlap:
    before, after = data.splits[first], data.splits[second]
    seen = {_words(example) for example in before}
    shared = [words for words in (_words(example) for example in after) if words in seen]
    has_documents = any(example.document != example.id for example in (*before, *after))
    has_documents = has_documents or data.task.columns.document is not None
    documents = {e.document for e in before} & {e.document for e in after}
    return Overlap(
        first,
        second,
        documents=len(documents) if has_documents else 0,
        texts=len(shared),
        long_texts=sum(len(" ".join(words)) >= _LONG_ENOUGH for words in shared),
    )


def _compare(task: TaskConfig, data: TaskData, split: str, found: SplitCounts) -> Iterator[Problem]:
    expected = {str(name): value for name, value in task.expected.items()}.get(split)
    if data.source.kind == "hub" and task.hub:
        wanted = {str(name): count for name, count in task.hub.examples.items()}.get(split)
        expected = Expected(examples=wanted) if wanted else None
    if expected is None or data.source.is_sample:
        return
    pairs = {
        "examples": (found.examples, expected.examples),
        "words": (found.words, expected.tokens),
        "documents": (found.documents, expected.documents),
        **{label: (found.labels[label], count) for label, count in expected.labels.items()},
    }
    for name, (count, wanted) in pairs.items():
        if wanted is not None and count != wanted:
            yield Problem("error", f"{split}: {count:,} {name}, expected {wanted:,}")


def _judge(task: TaskConfig, split: str, found: SplitCounts) -> Iterator[Problem]:
    for label, count in found.labels.items():
        if count == 0:
            yield Problem("warning", f"{split}: no example of {label}")
    if found.without_label == found.examples:
        yield Problem("error", f"{split}: nothing is labelled")
    if found.repeated:
        yield Problem("note", f"{split}: {found.repeated:,} examples repeat one before them")


def _judge_ids(data: TaskData) -> Iterator[Problem]:
    for split, examples in data.splits.items():
        repeated = len(examples) - len({example.id for example in examples})
        if repeated:
            yield Problem("error", f"{split}: {repeated:,} ids are given twice")


def _judge_tags(data: TaskData) -> Iterator[Problem]:
    """Find tags that are not IOB2: the readers let none pass, data made otherwise may hold some."""
    for split, examples in data.splits.items():
        for example in examples:
            if not isinstance(example, NerExample):
                continue
            try:
                normalise(example.tags, "iob2")
            except SchemeError as error:
                yield Problem("error", f"{split}, example {example.id}: {error.reason}")
                break


def _known_shared(task: TaskConfig, overlap: Overlap) -> int:
    """Documents that two splits share in the corpus itself."""
    expected = {str(name): counts.shared_documents for name, counts in task.expected.items()}
    shared = {str(split): count for split, count in expected.get(overlap.second, {}).items()}
    return shared.get(overlap.first, 0)


def _judge_overlap(overlap: Overlap, known: int) -> Iterator[Problem]:
    pair = f"{overlap.first} and {overlap.second}"
    if overlap.documents and overlap.documents <= known:
        yield Problem(
            "warning", f"{pair} share {overlap.documents:,} documents, as in the corpus itself"
        )
    elif overlap.documents:
        yield Problem("error", f"{pair} share {overlap.documents:,} documents")
    if overlap.long_texts:
        yield Problem(
            "warning",
            f"{overlap.long_texts:,} examples of {overlap.second} with {_LONG_ENOUGH} or more "
            f"characters are also in {overlap.first}",
        )
    if short := overlap.texts - overlap.long_texts:
        yield Problem(
            "note", f"{short:,} short examples of {overlap.second} are also in {overlap.first}"
        )
