"""Tasks whose test split is their dev split, so that a search cannot read test."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from adapterkit.runs.atomic import write_text
from adapterkit.tasks.checksums import data_checksums
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.registry import load_task


@dataclass(frozen=True)
class DevTask:
    """A task as a search has it: `tune` scores dev where it would score test.

    Attributes:
        file: Its YAML file.
        task: Its configuration.
        data: Where its data are, as `tune` takes it.
        sha256: Of each split's file; that of test is dev's.
    """

    file: Path
    task: TaskConfig
    data: str
    sha256: dict[str, str]


def write_dev_task(task: TaskConfig, data: str, folder: Path) -> DevTask:
    """Write the YAML of a task that names its dev files as its test files.

    Args:
        task: The task.
        data: Where the suite's data come from.
        folder: Where the YAML is written.

    Raises:
        UserError: Train or dev is missing.
    """
    source, sums = data_checksums(task, data, ("train", "dev"))
    values: dict[str, Any] = task.model_dump(mode="json", exclude={"data", "expected"})
    for place in (values, values["hub"] or {}):
        if "dev" in place.get("files", {}):
            place["files"]["test"] = copy.copy(place["files"]["dev"])
    file = folder / f"{task.name}.yaml"
    write_text(file, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    found = source.kind if source.kind in ("sample", "hub") else source.location
    return DevTask(file, load_task(file), found, {**sums, "test": sums["dev"]})
