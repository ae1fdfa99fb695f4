"""Checksums of a task's data, found as `load_data` finds them and without reading an example."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.tasks import hub
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.sources import (
    SPLITS,
    DataSource,
    _check_files,
    _folder,
    _known_splits,
    _locate,
    _sample,
    has_sample,
)


def data_checksums(
    task: TaskConfig, data: str | Path = "auto", splits: Sequence[str] = SPLITS
) -> tuple[DataSource, dict[str, str]]:
    """Say where a task's data are, and the SHA-256 of each split's file.

    Args:
        task: The task.
        data: As for `load_data`.
        splits: Which of train, dev and test.

    Raises:
        UserError: The data are missing; the message says what to do.
    """
    wanted = _known_splits(splits)
    source = _locate(task, data, wanted)
    if source.kind == "hub":
        try:
            paths = hub.fetch(task, wanted)
        except UserError:
            if data != "auto" or not has_sample(task):
                raise
            source = _sample(task)
        else:
            return source, {split: sha256_file(path) for split, path in paths.items()}
    folder = _folder(source, task)
    _check_files(folder, task, wanted)
    return source, {split: sha256_file(folder / task.files[split].data) for split in wanted}
