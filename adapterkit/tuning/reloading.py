"""What a run learned as a model again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from adapterkit.backbones.loading import Backbone
from adapterkit.backbones.trained_on import TrainedOn, load_trained_on
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.loading import load_adapted
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.manifest import DataRecord, RunManifest
from adapterkit.tasks.config import TaskConfig
from adapterkit.tuning.run import Run


@dataclass(frozen=True)
class LoadedAdapter:
    """A model that can predict what it was trained for.

    Attributes:
        task: The task as it was configured when it was tuned.
        backbone: The backbone; its model has the adapters and the head, both active.
        applied: The plan on the model.
        max_length: Word pieces a window.
        protocol: How its scores were made.
        data: The data that it was trained and scored on.
    """

    task: TaskConfig
    backbone: Backbone
    applied: AppliedPlan
    max_length: int
    protocol: str
    data: DataRecord


@dataclass(frozen=True)
class LoadedRun(LoadedAdapter):
    """A run whose model can predict.

    Attributes:
        manifest: Its ``run.json``.
    """

    manifest: RunManifest


def load_run(path: str | Path, *, name: str | None = None) -> LoadedRun:
    """Load a run's backbone and put on it what the run learned.

    Args:
        path: The run directory.
        name: What adapters and head are to be called in the model; by default as when it was tuned.

    Raises:
        UserError: If the run is unfinished or damaged, or its backbone is gone or has changed.
    """
    directory = RunDirectory(Path(path))
    manifest = Run.load(directory.path).manifest
    task = saved_task(manifest, directory.manifest_path)
    where, stated = str(directory.manifest_path), manifest.backbone
    backbone = load_trained_on(TrainedOn("run", where, stated.id, stated.fingerprint))
    max_length = _max_length(manifest, directory, backbone)
    applied = load_adapted(backbone.model, directory.adapter_path, name=name)
    backbone.model.active_head = applied.head
    backbone.model.eval()
    return LoadedRun(
        task, backbone, applied, max_length, manifest.protocol, manifest.data, manifest
    )


def _max_length(manifest: RunManifest, directory: RunDirectory, backbone: Backbone) -> int:
    found = manifest.hyperparameters.get("max_length")
    longest = backbone.model.config.max_position_embeddings
    if not isinstance(found, int) or not 1 <= found <= longest:
        raise UserError(
            "the run's window length is damaged",
            where=f"{directory.manifest_path}: hyperparameters.max_length",
            found=str(found),
            allowed=f"1 to {longest}",
            hint="restore run.json, or tune again",
        )
    return found


def saved_task(manifest: RunManifest, path: Path) -> TaskConfig:
    """The task of a run as it was configured when it was tuned.

    Args:
        manifest: The run's ``run.json``.
        path: Where it lies, for errors.

    Raises:
        UserError: It is damaged, or contradicts the run's labels.
    """
    config = (manifest.model_extra or {}).get("task_config")
    try:
        task = TaskConfig.model_validate(config)
    except ValidationError as error:
        raise UserError(
            "the run's task configuration is damaged",
            where=f"{path}: task_config",
            found=error.errors()[0]["msg"],
            hint="restore run.json, or tune again",
        ) from error
    if task.output_names != manifest.labels:
        raise UserError(
            "the run's labels contradict its task",
            where=f"{path}: labels",
            found=", ".join(manifest.labels),
            allowed=", ".join(task.output_names),
            hint="restore run.json, or tune again",
        )
    return task
