"""From rows (of JSON lines, delimited files or parquet tables) to examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterkit.runs.errors import UserError, nearest
from adapterkit.tasks.config import Columns, TaskConfig
from adapterkit.tasks.examples import Example, TextExample
from adapterkit.tasks.readers.sentences import RawSentence, to_examples


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line it stands on and its values."""

    line: int
    values: Mapping[str, Any]


def examples_from_rows(
    rows: Sequence[Row], path: Path, task: TaskConfig, columns: Columns
) -> tuple[Example, ...]:
    """Turn the rows of one split into the examples of a task of any kind.

    Args:
        rows: The rows.
        path: Their file, for messages and to name examples without an id.
        task: The task: kind and labels.
        columns: What the values are called.

    Raises:
        UserError: Naming file and line, at the first row that does not fit the task.
    """
    if not rows:
        raise UserError(
            "the file has no examples", where=f"{path}, line 1", hint="a split needs examples"
        )
    ids = [_id(row, path, columns) for row in rows]
    _check_ids(ids, rows, path)
    if task.kind == "ner":
        sentences = [
            _sentence(row, path, task, columns, id_) for row, id_ in zip(rows, ids, strict=True)
        ]
        return to_examples(sentences, path, task)
    return tuple(_text(row, path, task, columns, id_) for row, id_ in zip(rows, ids, strict=True))


def _sentence(row: Row, path: Path, task: TaskConfig, columns: Columns, id_: str) -> RawSentence:
    words = _strings(row, columns.tokens, path)
    if not words or not all(word.strip() for word in words):
        raise UserError(
            "a word is empty, or there are no words",
            where=_place(path, row),
            found=repr(words)[:80],
            allowed="one word or more, each with a visible character",
        )
    raw = _value(row, columns.tags, path)
    tags = _tags(raw, row, path, columns, task.labels)
    if len(tags) != len(words):
        raise UserError(
            "not as many tags as words",
            where=_place(path, row),
            found=f"{len(words)} words, {len(tags)} tags",
            allowed="one tag a word",
        )
    document = _document(row, path, columns, id_)
    return RawSentence(words, tags, row.line, True, id_, document)


def _tags(
    raw: Any, row: Row, path: Path, columns: Columns, labels: Sequence[str]
) -> tuple[str, ...]:
    names = columns.tag_ids
    if not isinstance(raw, list | tuple):
        raise _wrong_type(path, row, columns.tags, raw, "a list of tags")
    if any(isinstance(tag, bool) or not isinstance(tag, int | str) for tag in raw):
        raise _wrong_type(path, row, columns.tags, raw, "a list of tags")
    if numbers := [tag for tag in raw if isinstance(tag, int)]:
        if not names:
            raise UserError(
                "the tags are numbers",
                where=_place(path, row),
                found=str(raw[:8]),
                allowed="names, such as O and B-" + labels[0],
                hint="name what each stands for in the task's YAML: columns: {tag_ids: [O, B-...]}",
            )
        if wrong := [number for number in numbers if not 0 <= number < len(names)]:
            raise UserError(
                "unknown tag",
                where=_place(path, row),
                found=str(wrong[0]),
                allowed=", ".join(f"{i} {name}" for i, name in enumerate(names)),
            )
    return tuple(names[tag] if isinstance(tag, int) else tag for tag in raw)


def _text(row: Row, path: Path, task: TaskConfig, columns: Columns, id_: str) -> TextExample:
    text = _value(row, str(columns.text), path)
    if not isinstance(text, str):
        raise _wrong_type(path, row, str(columns.text), text, "a text")
    if not text.strip():
        raise UserError(
            "the text is empty",
            where=_place(path, row),
            found=repr(text)[:80],
            allowed="a text with a visible character",
        )
    labels = _labels(row, path, task, columns)
    for label in labels:
        if label not in task.labels:
            close = nearest(label, task.labels)
            raise UserError(
                f"the label {label!r} is not one of task {task.name}'s",
                where=_place(path, row),
                found=label,
                allowed=task.labels,
                hint=f"did you mean {close}?" if close else "add it to labels in the task's YAML",
            )
    ordered = tuple(label for label in task.labels if label in labels)
    return TextExample(id_, _document(row, path, columns, id_) or id_, text, ordered)


def _labels(row: Row, path: Path, task: TaskConfig, columns: Columns) -> tuple[str, ...]:
    key = str(columns.label)
    raw = _value(row, key, path)
    if task.kind == "multilabel":
        names = _strings(row, key, path)
        return tuple(name for name in names if name not in task.ignore_labels)
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        raise _wrong_type(path, row, key, raw, "one label")
    return (str(raw),)


def _document(row: Row, path: Path, columns: Columns, id_: str) -> str:
    if columns.document:
        return _name(row, columns.document, path)
    if columns.id and columns.document_separator:
        return id_.rpartition(columns.document_separator)[0] or id_
    return ""


def _id(row: Row, path: Path, columns: Columns) -> str:
    return _name(row, columns.id, path) if columns.id else f"{path.stem}-{row.line}"


def _name(row: Row, key: str, path: Path) -> str:
    value = _value(row, key, path)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise _wrong_type(path, row, key, value, "a text or a whole number")
    return str(value)


def _check_ids(ids: Sequence[str], rows: Sequence[Row], path: Path) -> None:
    first: dict[str, int] = {}
    for id_, row in zip(ids, rows, strict=True):
        if id_ in first:
            raise UserError(
                "an id is given twice",
                where=f"{path}, lines {first[id_]} and {row.line}",
                found=id_,
                hint="make ids unique, or name no columns.id in the task's YAML",
            )
        first[id_] = row.line


def _value(row: Row, key: str, path: Path) -> Any:
    if key not in row.values:
        close = nearest(key, row.values)
        raise UserError(
            f"the key {key!r} is missing",
            where=_place(path, row),
            found=", ".join(row.values),
            allowed=f"an object with the key {key!r}",
            hint=f"did you mean {close}? " * bool(close) + "Name it under columns in the YAML",
        )
    return row.values[key]


def _strings(row: Row, key: str, path: Path) -> tuple[str, ...]:
    value = _value(row, key, path)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise _wrong_type(path, row, key, value, "a list of strings")
    return tuple(value)


def _wrong_type(path: Path, row: Row, key: str, value: Any, wanted: str) -> UserError:
    return UserError(
        f"{key} is not {wanted}", where=_place(path, row), found=repr(value)[:80], allowed=wanted
    )


def _place(path: Path, row: Row) -> str:
    return f"{path}, line {row.line}"
