"""Checksums of a task's data, found as `load_data` finds them and without reading an example."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapterkit.runs.hashing import sha256_file
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.locating import SPLITS, DataSource, locate


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
    located = locate(task, data, splits)
    return located.source, {split: sha256_file(path) for split, path in located.files.items()}
