"""From raw tagged sentences to NER examples: labels checked, tags in IOB2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapterkit.runs.errors import UserError, nearest
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.examples import NerExample
from adapterkit.tasks.schemes import Scheme, SchemeError, detect, normalise, split_tag

_GRAMMAR: dict[Scheme, str] = {
    "iob1": "O, I-X, and B-X only directly after a mention of type X",
    "iob2": "O, B-X, and I-X only after B-X or I-X",
    "bioes": "O, S-X, and B-X, any number of I-X, E-X",
    "bilou": "O, U-X, and B-X, any number of I-X, L-X",
}


@dataclass(frozen=True, slots=True)
class RawSentence:
    """A sentence as it stands in a file.

    Attributes:
        words: Its words.
        tags: Its tags, in the file's scheme.
        line: Line, or row, on which it begins.
        one_line: Whether the whole sentence stands on that line.
        id: Its id.
        document: Id of its document; empty where unknown.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int
    one_line: bool
    id: str
    document: str


def to_examples(
    sentences: Sequence[RawSentence], path: Path, task: TaskConfig
) -> tuple[NerExample, ...]:
    """Check the tags of one file's sentences and return them as examples in IOB2.

    Mentions of types that the task ignores are none.

    Raises:
        UserError: At the first tag that is unknown to the task or impossible where it stands.
    """
    _check_labels(sentences, path, task)
    scheme = scheme_of(sentences) if task.scheme == "auto" else task.scheme
    return tuple(
        NerExample(
            sentence.id,
            sentence.document or sentence.id,
            sentence.words,
            _without(task.ignore_labels, _to_iob2(sentence, scheme, path, task)),
        )
        for sentence in sentences
    )


def scheme_of(sentences: Sequence[RawSentence]) -> Scheme:
    """Return the scheme these sentences of one file are tagged in."""
    return detect(sentence.tags for sentence in sentences)


def _without(ignored: Sequence[str], tags: tuple[str, ...]) -> tuple[str, ...]:
    if not ignored:
        return tags
    return tuple("O" if split_tag(tag)[1] in ignored else tag for tag in tags)


def _check_labels(sentences: Sequence[RawSentence], path: Path, task: TaskConfig) -> None:
    known = {"O"}
    for sentence in sentences:
        for index, tag in enumerate(sentence.tags):
            if tag not in known:
                _check_label(tag, _place(sentence, index, path), task)
                known.add(tag)


def _check_label(tag: str, where: str, task: TaskConfig) -> None:
    try:
        _, label = split_tag(tag)
    except ValueError as error:
        raise UserError(
            "unknown tag",
            where=where,
            found=tag,
            allowed=f"O, or a letter, a hyphen and one of: {', '.join(task.labels)}",
        ) from error
    if label not in (*task.labels, *task.ignore_labels):
        close = nearest(label, task.labels)
        raise UserError(
            f"the label {label!r} is not one of task {task.name}'s",
            where=where,
            found=tag,
            allowed=task.labels,
            hint=f"did you mean {close}?" if close else "add it to labels in the task's YAML",
        )


def _to_iob2(
    sentence: RawSentence, scheme: Scheme, path: Path, task: TaskConfig
) -> tuple[str, ...]:
    try:
        return normalise(sentence.tags, scheme)
    except SchemeError as error:
        origin = "found out from the file" if task.scheme == "auto" else "given in the task's YAML"
        raise UserError(
            f"impossible tag for scheme {scheme.upper()} ({origin})",
            where=_place(sentence, error.index, path),
            found=f"{error.reason} (word {sentence.words[error.index]!r})",
            allowed=_GRAMMAR[scheme],
            hint="correct the tag, or name the scheme in the task's YAML (scheme: iob1, iob2, "
            "bioes or bilou)",
        ) from error


def _place(sentence: RawSentence, index: int, path: Path) -> str:
    if sentence.one_line:
        return f"{path}, line {sentence.line}, tag {index + 1}"
    return f"{path}, line {sentence.line + index}"
