"""Where a task's data come from, and loading them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from adapterkit.runs.errors import UserError, nearest
from adapterkit.runs.hashing import sha256_file
from adapterkit.tasks import hub
from adapterkit.tasks.config import Split, SplitFiles, TaskConfig
from adapterkit.tasks.examples import Example
from adapterkit.tasks.readers.conll import read_conll
from adapterkit.tasks.readers.delimited import read_delimited
from adapterkit.tasks.readers.hub import read_hub_file
from adapterkit.tasks.readers.jsonl import read_jsonl

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
SAMPLE_NOTE = (
    "the bundled sample: original sentences written for adapterkit, not the corpus; "
    "scores on it say nothing about the corpus"
)
_SAMPLES = Path(__file__).resolve().parent / "samples"


@dataclass(frozen=True)
class DataSource:
    """Where data were found: what kind of place, and which."""

    kind: Literal["dir", "env", "cache", "hub", "sample"]
    location: str

    @property
    def is_sample(self) -> bool:
        """Whether this is the bundled sample and not the corpus."""
        return self.kind == "sample"


@dataclass(frozen=True)
class TaskData:
    """The data of a task.

    Attributes:
        task: The task.
        source: Where the data were found.
        splits: The examples of each split.
        sha256: Checksum of each split's data file.
        notes: What a reader of results must know about these data.
    """

    task: TaskConfig
    source: DataSource
    splits: Mapping[str, tuple[Example, ...]]
    sha256: Mapping[str, str]
    notes: tuple[str, ...] = ()


def load_data(
    task: TaskConfig, data: str | Path = "auto", splits: Sequence[str] = SPLITS
) -> TaskData:
    """Load splits of a task.

    Args:
        task: The task.
        data: ``sample`` (bundled), ``hub``, a folder, or ``auto``: the folder the task's own YAML
            names, else ``$ADAPTERKIT_DATA/<corpus>``, the user's cache, the hub where the network
            may be used and answers, and last the bundled sample.
        splits: Which of train, dev and test.

    Raises:
        UserError: If the data are missing or cannot be read; the message says what to do.
    """
    wanted = _known_splits(splits)
    source = _locate(task, data, wanted)
    if source.kind != "hub":
        return _load_from_folder(task, source, wanted)
    try:
        paths = hub.fetch(task, wanted)
    except UserError as error:
        if data != "auto" or not has_sample(task):
            raise
        note = f"the Hugging Face Hub was tried first: {error.problem} ({error.found})"
        found = _load_from_folder(task, _sample(task), wanted)
        return replace(found, notes=(*found.notes, note))
    return _load_from_hub(task, source, paths)


def _known_splits(splits: Sequence[str]) -> list[Split]:
    wanted = [known for known in SPLITS if known in splits]
    if unknown := [split for split in splits if split not in SPLITS]:
        raise UserError("there is no such split", found=unknown[0], allowed=SPLITS)
    return wanted


def _locate(task: TaskConfig, data: str | Path, splits: Sequence[Split]) -> DataSource:
    if data == "auto":
        return _locate_automatically(task, splits)
    if data == "sample":
        return _sample(task)
    if data == "hub":
        return DataSource("hub", _hub_location(task))
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise UserError(
            "there is no such data folder",
            where="--data",
            found=str(folder),
            allowed="auto, sample, hub or a folder",
            hint=f"did you mean {close}?"
            if (close := nearest(str(data), ("auto", "sample", "hub")))
            else f"the folder must hold {_needed(task, splits)}",
        )
    return DataSource("dir", str(_inner(folder, task)))


def _locate_automatically(task: TaskConfig, splits: Sequence[Split]) -> DataSource:
    if task.data is not None:
        return DataSource("dir", str(task.data))
    if root := os.environ.get("ADAPTERKIT_DATA"):
        if not Path(root).is_dir():
            raise UserError(
                "the data folder does not exist",
                where="environment variable ADAPTERKIT_DATA",
                found=root,
                hint="correct it, or unset it",
            )
        if (folder := Path(root) / task.folder).is_dir():
            return DataSource("env", str(folder))
    if (folder := cache_folder() / task.folder).is_dir():
        return DataSource("cache", str(folder))
    if task.hub and (hub.is_cached(task, splits) or (not hub.is_offline() and hub.is_reachable())):
        return DataSource("hub", _hub_location(task))
    return _sample(task)


def cache_folder() -> Path:
    """Return the user's data cache, which holds one folder a task; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("adapterkit", appauthor=False)) / "data"


def has_sample(task: TaskConfig) -> bool:
    """Whether a sample of the task is bundled."""
    return (_SAMPLES / task.folder).is_dir()


def _sample(task: TaskConfig) -> DataSource:
    if not has_sample(task):
        raise UserError(
            f"adapterkit has no sample of task {task.name}",
            where="--data",
            hint="give a folder with --data DIR, or set ADAPTERKIT_DATA to the folder that holds "
            f"{task.folder}/",
        )
    return DataSource("sample", f"adapterkit/tasks/samples/{task.folder}")


def _hub_location(task: TaskConfig) -> str:
    return f"{task.hub.repository}@{task.hub.revision}" if task.hub else ""


def _inner(folder: Path, task: TaskConfig) -> Path:
    """Let the user give either the task's folder or the one that holds one folder a task."""
    holds_files = any((folder / files.data).is_file() for files in task.files.values())
    inner = folder / task.folder
    return inner if not holds_files and inner.is_dir() else folder


def _folder(source: DataSource, task: TaskConfig) -> Path:
    return _SAMPLES / task.folder if source.is_sample else Path(source.location)


def _load_from_folder(task: TaskConfig, source: DataSource, splits: Sequence[Split]) -> TaskData:
    folder = _folder(source, task)
    _check_files(folder, task, splits)
    notes = [SAMPLE_NOTE] if source.is_sample else []
    examples: dict[str, tuple[Example, ...]] = {}
    for split in splits:
        files = task.files[split]
        examples[split] = _read_split(folder, files, task)
        if files.documents and not (folder / files.documents).is_file():
            notes.append(f"{split}: no {files.documents}, so every sentence is its own document")
    sums: dict[str, str] = {split: sha256_file(folder / task.files[split].data) for split in splits}
    return TaskData(task, source, examples, sums, tuple(notes))


def _load_from_hub(task: TaskConfig, source: DataSource, paths: Mapping[Split, Path]) -> TaskData:
    examples: dict[str, tuple[Example, ...]] = {
        split: read_hub_file(path, task) for split, path in paths.items()
    }
    notes = (task.hub.note,) if task.hub and task.hub.note else ()
    sums: dict[str, str] = {split: sha256_file(path) for split, path in paths.items()}
    return TaskData(task, source, examples, sums, notes)


def _read_split(folder: Path, files: SplitFiles, task: TaskConfig) -> tuple[Example, ...]:
    path = folder / files.data
    if path.suffix.lower() in (".jsonl", ".json", ".ndjson"):
        return read_jsonl(path, task)
    if task.kind != "ner":
        return read_delimited(path, task)
    documents = folder / files.documents if files.documents else None
    return read_conll(path, task, documents if documents and documents.is_file() else None)


def _check_files(folder: Path, task: TaskConfig, splits: Sequence[Split]) -> None:
    unnamed = [split for split in splits if split not in task.files]
    if unnamed:
        raise UserError(
            f"task {task.name} names no file for split {unnamed[0]!r}",
            where=f"files in the YAML of task {task.name}",
            found=", ".join(task.files),
            allowed="train to learn from, dev to choose the best epoch by, test to be scored on",
            hint=f"add {unnamed[0]} under files; to have one, set documents of train aside",
        )
    missing = [task.files[s].data for s in splits if not (folder / task.files[s].data).is_file()]
    if missing:
        present = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        raise UserError(
            f"the data folder lacks {', '.join(missing)}",
            where=str(folder),
            found=", ".join(present[:12]) or "nothing",
            allowed=_needed(task, splits),
            hint="put the files there, or use --data sample",
        )


def _needed(task: TaskConfig, splits: Sequence[Split]) -> str:
    return ", ".join(task.files[split].data for split in splits if split in task.files)
