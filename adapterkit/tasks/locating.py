"""Where a task's data are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adapterkit.runs.errors import UserError, nearest
from adapterkit.tasks import hub
from adapterkit.tasks.config import Split, TaskConfig

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
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
class Located:
    """The data files of some splits, known to be there.

    Attributes:
        source: Where they were found.
        folder: The folder that holds them; None where the hub's cache does.
        files: The data file of each split.
        refused: Why the hub, tried first, gave nothing.
    """

    source: DataSource
    folder: Path | None
    files: Mapping[Split, Path]
    refused: str | None = None


def locate(task: TaskConfig, data: str | Path, splits: Sequence[str] = SPLITS) -> Located:
    """Find the data files of a task; see `sources.load_data` for where they are looked for.

    Raises:
        UserError: If some are missing; the message says what to do.
    """
    wanted = _known_splits(splits)
    source = _source(task, data, wanted)
    if source.kind != "hub":
        return _in_folder(task, source, wanted)
    try:
        return Located(source, None, hub.fetch(task, wanted))
    except UserError as error:
        if data != "auto" or not has_sample(task):
            raise
        refused = f"{error.problem} ({error.found})"
        found = _in_folder(task, _sample(task), wanted)
        return Located(found.source, found.folder, found.files, refused)


def _in_folder(task: TaskConfig, source: DataSource, splits: Sequence[Split]) -> Located:
    folder = _SAMPLES / task.folder if source.is_sample else Path(source.location)
    _check_files(folder, task, splits)
    return Located(source, folder, {split: folder / task.files[split].data for split in splits})


def _known_splits(splits: Sequence[str]) -> list[Split]:
    wanted = [known for known in SPLITS if known in splits]
    if unknown := [split for split in splits if split not in SPLITS]:
        raise UserError("there is no such split", found=unknown[0], allowed=SPLITS)
    return wanted


def _source(task: TaskConfig, data: str | Path, splits: Sequence[Split]) -> DataSource:
    if data == "auto":
        return _source_by_itself(task, splits)
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


def _source_by_itself(task: TaskConfig, splits: Sequence[Split]) -> DataSource:
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
