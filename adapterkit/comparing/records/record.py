"""A finished run and what it predicted, read from its directory alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.manifest import RunManifest
from adapterkit.tasks.config import TaskConfig

ScoredSplit = Literal["dev", "test"]

Item = tuple[int, int, str] | str
"""A mention (first word, word behind the last, type), or the name of a class."""


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Attributes:
        path: The run directory.
        manifest: Its ``run.json``.
    """

    path: Path
    manifest: RunManifest

    @property
    def task(self) -> TaskConfig:
        """The task as it was configured when the run was made.

        Raises:
            UserError: ``run.json`` holds none, or one that is no longer understood.
        """
        return _task_of(self)

    def predictions(self, split: ScoredSplit) -> tuple[Prediction, ...]:
        """Read what the run predicted; see `read_predictions`."""
        return read_predictions(self, split)


@dataclass(frozen=True)
class Prediction:
    """What is true of an example and what was predicted.

    Attributes:
        id: The example.
        document: The document it is part of.
        gold: What is true: mentions, or names of classes.
        predicted: What was predicted, likewise.
        words: The words of a sentence; none for a text.
    """

    id: str
    document: str
    gold: frozenset[Item]
    predicted: frozenset[Item]
    words: tuple[str, ...]


def read_predictions(record: RunRecord, split: ScoredSplit) -> tuple[Prediction, ...]:
    """Read ``predictions/SPLIT.jsonl`` of a run.

    Raises:
        UserError: The file is missing, or a line of it holds no prediction.
    """
    path = RunDirectory(record.path).predictions_path / f"{split}.jsonl"
    return tuple(_parse(line, f"{path}, line {number}") for number, line in _lines(path))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with open(path, encoding="utf-8") as file:
            yield from enumerate(file, start=1)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "The run's predictions cannot be read.",
            where=str(path),
            found=str(error.strerror if isinstance(error, OSError) else error),
            hint="restore the file, or tune again",
        ) from error


def _parse(line: str, where: str) -> Prediction:
    try:
        content = json.loads(line)
        return Prediction(
            id=str(content["id"]),
            document=str(content["document"]),
            gold=_items(content["gold"]),
            predicted=_items(content["predicted"]),
            words=tuple(content.get("words", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            "The run's predictions are damaged.",
            where=where,
            found=f"no prediction ({error})",
            allowed="an object with id, document, gold and predicted",
            hint="restore the file, or tune again",
        ) from error


def _items(values: list[Any]) -> frozenset[Item]:
    return frozenset(value if isinstance(value, str) else _mention(value) for value in values)


def _mention(value: list[Any]) -> tuple[int, int, str]:
    start, end, label = value
    return int(start), int(end), str(label)


def _task_of(record: RunRecord) -> TaskConfig:
    content = (record.manifest.model_extra or {}).get("task_config")
    try:
        return TaskConfig.model_validate(content)
    except ValidationError as error:
        raise UserError(
            "The run does not say how its task was configured.",
            where=f"{RunDirectory(record.path).manifest_path}: task_config",
            found="nothing" if content is None else error.errors()[0]["msg"],
            hint="tune again",
        ) from error
