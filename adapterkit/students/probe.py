"""What frozen states are probed on: bounded parts of the train and dev splits of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.encoding import Encoded, encode
from adapterkit.tasks.examples import Example
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.sources import TaskData, load_data

_WHERE = "evaluation.probe"
_TEXT_WINDOW = 128
"""Word pieces of a text that are read. Of about 24,500 to learn on, in texts of up to 64, 128 and
256, the bundled backbone made 0.39, 0.42 and 0.41 on the dev split of hoc: longer gains nothing,
and takes longer on dev."""


@dataclass(frozen=True)
class ProbeSplit:
    """A part of a split, ready to be read by an encoder.

    Attributes:
        examples: Sentences or texts, evenly spread over the split.
        encoded: The same as the encoder reads them.
    """

    examples: tuple[Example, ...]
    encoded: Encoded


@dataclass(frozen=True)
class ProbeTask:
    """A task to probe on.

    Attributes:
        task: The task.
        source: What kind of place the data are from; ``sample`` says that they are no corpus.
        train: What is learned on.
        dev: What is scored on.
    """

    task: TaskConfig
    source: str
    train: ProbeSplit
    dev: ProbeSplit


@dataclass(frozen=True)
class Probe:
    """Tasks of any kind that frozen states are probed on.

    Attributes:
        tasks: The tasks; no two have the same name.
        pad_token_id: What short windows are padded with.
    """

    tasks: tuple[ProbeTask, ...]
    pad_token_id: int


def open_probe(
    names: Sequence[str],
    tokenizer: PreTrainedTokenizerFast,
    window: int,
    *,
    examples: int = 500,
    pieces: int = 24_576,
) -> Probe:
    """Read the train and dev splits of tasks; test splits are never touched.

    Args:
        names: Of tasks, or their YAML files.
        tokenizer: The encoder's.
        window: Word pieces a window; texts are cut to at most 128.
        examples: How many of each split, at most.
        pieces: How many word pieces of each split, about, at most.

    Raises:
        UserError: There is no such task, its data are missing or cannot be read, or two
            tasks have the same name.
    """
    tasks: dict[str, ProbeTask] = {}
    for name in names:
        task = _task(name)
        if task.name in tasks:
            raise UserError(
                "two tasks to probe on have the same name", where=_WHERE, found=task.name
            )
        data = _data(task)
        # Only sentences become several windows where they are long; texts are cut.
        width = window if task.kind == "ner" else min(window, _TEXT_WINDOW)
        train, dev = (
            _part(task, data.splits[split], tokenizer, width, examples, pieces)
            for split in ("train", "dev")
        )
        tasks[task.name] = ProbeTask(task, data.source.kind, train, dev)
    return Probe(tuple(tasks.values()), int(tokenizer.pad_token_id))


def _task(name: str) -> TaskConfig:
    try:
        return load_task(name)
    except UserError as error:
        inside = f"{_WHERE}: {error.where}" if Path(name).is_file() else _WHERE
        raise UserError(
            error.problem, where=inside, found=error.found, allowed=error.allowed, hint=error.hint
        ) from error


def _data(task: TaskConfig) -> TaskData:
    try:
        return load_data(task, splits=("train", "dev"))
    except UserError as error:
        # Options such as --data are of other commands.
        place = error.where if error.where and not error.where.startswith("--") else None
        raise UserError(
            error.problem,
            where=f"{_WHERE}: {task.name}, {place}" if place else f"{_WHERE}: {task.name}",
            found=error.found,
            allowed=error.allowed,
            hint="mend the data (ADAPTERKIT_DATA names the folder that holds a folder for each "
            f"task), or leave {task.name} out",
        ) from error


def _part(
    task: TaskConfig,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    window: int,
    count: int,
    pieces: int,
) -> ProbeSplit:
    chosen = _spread(examples, count)
    encoded = encode(task, chosen, tokenizer, window)
    total = sum(len(read.input_ids) for read in encoded.windows)
    if total > pieces:
        chosen = _spread(examples, max(1, len(chosen) * pieces // total))
        encoded = encode(task, chosen, tokenizer, window)
    return ProbeSplit(chosen, encoded)


def _spread(examples: Sequence[Example], count: int) -> tuple[Example, ...]:
    if len(examples) <= count:
        return tuple(examples)
    return tuple(examples[index * len(examples) // count] for index in range(count))
