"""Scoring a finished run again, or on other data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterkit.runs.errors import UserError
from adapterkit.runs.progress import Progress, Silence
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.locating import SPLITS
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.sources import TaskData, load_data
from adapterkit.tuning.devices import move
from adapterkit.tuning.evaluation import (
    EvaluationSplit,
    evaluation_split,
    predict_split,
    score_split,
)
from adapterkit.tuning.prefix import with_found_states
from adapterkit.tuning.reloading import LoadedAdapter


@dataclass(frozen=True)
class ScoredData:
    """A split as a run reads and scores it.

    Attributes:
        split: The encoded split.
        found: The data it was made of.
        same_as_run: Whether they are the run's own.
    """

    split: EvaluationSplit
    found: TaskData
    same_as_run: bool

    def as_dict(self) -> dict[str, Any]:
        """Where the data came from, as plain JSON values."""
        (sha256,) = self.found.sha256.values()
        return {
            "source": self.found.source.kind,
            "location": self.found.source.location,
            "sha256": sha256,
            "examples": len(self.split.examples),
            "same_as_run": self.same_as_run,
        }


def evaluate_adapter(
    loaded: LoadedAdapter,
    path: str | Path,
    task: str | None = None,
    split: str = "test",
    data: str | Path = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score what a run learned again, or on other data.

    Args:
        loaded: The run, or the package that was made of it.
        path: Where it was loaded from.
        task: The task, by default the run's; another one must have the same labels.
        split: ``train``, ``dev`` or ``test``.
        data: As for `tune`; ``auto`` is where the run found its data, which must be unchanged.
        progress: Told how it goes.

    Returns:
        ``task``, ``run``, ``split``, ``protocol``, ``data`` (source, location, sha256, examples,
        and whether they are the run's own) and ``metrics``.

    Raises:
        UserError: If the data are missing, damaged or do not fit.
    """
    progress = progress or Silence()
    config = loaded.task if task is None else _other_task(loaded, task)
    data_read = read_split(loaded, split, data, config)
    move(loaded.applied.model)
    scored = with_found_states(loaded.applied, data_read.split)
    progress.begin(f"scoring {split}", len(scored.encoded.windows))
    metrics = score_split(scored, predict_split(loaded.applied.model, scored, progress))
    return {
        "task": config.name,
        "run": str(path),
        "split": split,
        "protocol": loaded.protocol,
        "data": data_read.as_dict(),
        "metrics": metrics,
        "notes": list(data_read.found.notes),
    }


def read_split(
    loaded: LoadedAdapter, split: str, data: str | Path = "auto", task: TaskConfig | None = None
) -> ScoredData:
    """Read and encode a split as a run does.

    Args:
        loaded: The run.
        split: ``train``, ``dev`` or ``test``.
        data: As for `evaluate_adapter`.
        task: The task, by default the run's; another one must have the same labels.

    Raises:
        UserError: There is no such split, or its data are missing or damaged, or are to be the
            run's own and have changed.
    """
    check_split(split)
    config = task or loaded.task
    found = load_data(config, _source(loaded, config, data), (split,))
    record = loaded.data.splits.get(split)
    same = record is not None and record.sha256 == found.sha256[split]
    known = loaded.data.source != "unknown"
    if not same and known and str(data) == "auto" and config is loaded.task:
        raise _changed(loaded, found, split)
    scored = evaluation_split(
        config,
        found.splits[split],
        loaded.backbone.tokenizer,
        loaded.max_length,
        "nlpie" if loaded.protocol == "nlpie" else "word",
    )
    return ScoredData(scored, found, same)


def check_split(split: str) -> None:
    """Check the name of a split.

    Raises:
        UserError: There is none of that name.
    """
    if split not in SPLITS:
        raise UserError("there is no such split", where="--split", found=split, allowed=SPLITS)


def _other_task(loaded: LoadedAdapter, name: str) -> TaskConfig:
    if name == loaded.task.name:
        return loaded.task
    task = load_task(name)
    if task.kind != loaded.task.kind or task.labels != loaded.task.labels:
        raise UserError(
            "the run was trained for other labels",
            where=f"--task {name}",
            found=f"{task.kind}: {', '.join(task.labels)}",
            allowed=f"{loaded.task.kind}: {', '.join(loaded.task.labels)}",
        )
    return task


def _changed(loaded: LoadedAdapter, found: TaskData, split: str) -> UserError:
    data = loaded.data
    record = data.splits.get(split)
    return UserError(
        f"the {split} data of the run are gone or have changed",
        where=f"{found.source.kind}: {found.source.location}",
        found=f"sha256 {found.sha256[split]}",
        allowed=f"sha256 {record.sha256 if record else 'of no file'} ({data.location})",
        hint=f"restore {data.location}, or score on other data with --data",
    )


def _source(loaded: LoadedAdapter, task: TaskConfig, data: str | Path) -> str | Path:
    """Where to look: for the run's own task, ``auto`` is the place the run found its data."""
    if str(data) != "auto" or task.name != loaded.task.name:
        return data
    record = loaded.data
    if record.source in ("sample", "hub"):
        return record.source
    # A package does not say where its data lay.
    return record.location if record.location and Path(record.location).is_dir() else "auto"
