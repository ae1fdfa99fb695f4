"""Packing what runs learned: a folder that anybody can check and load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from adapterkit.backbones.loading import Backbone as LoadedBackbone
from adapterkit.backbones.tokenizer_fingerprint import tokenizer_fingerprint
from adapterkit.backbones.trained_on import TrainedOn, load_trained_on
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.atomic import atomic_directory, write_json, write_text
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.runs.manifest import RunManifest
from adapterkit.sharing.averaging import average_folders
from adapterkit.sharing.card import write_card
from adapterkit.sharing.layout import (
    CARD_FILE,
    HEAD_CONFIG_FILE,
    UNLISTED,
    is_adapter_config,
    is_fusion_config,
)
from adapterkit.sharing.manifest import (
    FileRecord,
    Origin,
    PackageManifest,
    mechanisms_of,
    write_manifest,
)
from adapterkit.sharing.names import check_name, default_name
from adapterkit.sharing.scores import score_over, seed_of
from adapterkit.sharing.seeds import check_alike, read_sealed, taught_by
from adapterkit.sharing.verifying import verify_package
from adapterkit.tuning.reloading import saved_task
from adapterkit.tuning.run import Run

DEFAULT_LICENCE = "unknown"


def pack(
    runs: Sequence[str | Path],
    output: str | Path,
    *,
    name: str | None = None,
    average_seeds: bool = False,
    licence: str = DEFAULT_LICENCE,
    backbone: str | Path | None = None,
) -> PackageManifest:
    """Write a package of what one run learned, or several that differ in their seeds alone.

    Of several runs the one with the best dev score is packed, or the mean of all; the scores of
    all of them are told with their spread.

    Args:
        runs: Run directories.
        output: A folder that does not exist yet or is empty. It appears whole or not at all.
        name: ``task@plan``; by default made from both.
        average_seeds: Pack the mean of the runs' weights.
        licence: What the package may be used for, such as ``apache-2.0``.
        backbone: Where the backbone lies now, if not where the runs found it.

    Raises:
        UserError: A run is unfinished, damaged or changed, the runs differ in more than seeds, or
            the output cannot be written.
    """
    sources = [Run(Path(run), read_sealed(run)) for run in runs]
    check_alike([source.manifest for source in sources], [str(run) for run in runs])
    chosen = max(sources, key=lambda source: source.metrics["dev"]["score"])
    if average_seeds and len(sources) < 2:
        raise UserError(
            "One run has no mean.",
            where="--average-seeds",
            found=str(runs[0]),
            hint="name the runs of several seeds",
        )
    loaded = _backbone_of(chosen, backbone)
    described = _describe(sources, chosen, loaded, name, licence, average_seeds)
    with atomic_directory(output) as folder:
        if average_seeds:
            average_folders([RunDirectory(run.path).adapter_path for run in sources], folder)
        else:
            saved = RunDirectory(chosen.path).adapter_path
            shutil.copytree(saved, folder, dirs_exist_ok=True)
        return seal_folder(folder, described, loaded)


def seal_folder(
    folder: Path, described: PackageManifest, backbone: LoadedBackbone
) -> PackageManifest:
    """Write what a package holds beside its tensors, and verify it.

    That is configurations that others read, the card and the description.

    Args:
        folder: The package, its tensors and configurations in it.
        described: The description, but for its files and digest.
        backbone: The backbone it belongs to.

    Returns:
        The description as it was written.

    Raises:
        UserError: The disk is full or the path cannot be written, or what was learned cannot be
            shared, because a number is not finite.
    """
    _name_for_others(folder, described.backbone.id)
    write_text(folder / CARD_FILE, write_card(described, folder, backbone))
    files = {
        path.relative_to(folder).as_posix(): FileRecord(
            sha256=sha256_file(path), bytes=path.stat().st_size
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in UNLISTED
    }
    write_manifest(described.model_copy(update={"files": files}).sealed(), folder)
    return verify_package(folder)


def _describe(
    sources: Sequence[Run],
    chosen: Run,
    backbone: LoadedBackbone,
    name: str | None,
    licence: str,
    averaged: bool,
) -> PackageManifest:
    run = chosen.manifest
    task = saved_task(run, RunDirectory(chosen.path).manifest_path)
    seeds = [seed_of(source.manifest) for source in sources]
    origin = _origin(run)
    if averaged:
        origin = Origin(kind="average", parents=tuple(seed.run or "" for seed in seeds))
    values: dict[str, Any] = {
        "name": check_name(name or default_name(run.task, run.plan), source="--name"),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "task": run.task,
        "task_config": without_places(task.model_dump(mode="json")),
        "labels": run.labels,
        "scheme": "iob2" if task.kind == "ner" else None,
        "plan": run.plan,
        "mechanisms": mechanisms_of(StepPlan.parse(run.plan), backbone.steps),
        "backbone": {
            "id": public_id(backbone),
            "fingerprint": backbone.fingerprint,
            "tokenizer": tokenizer_fingerprint(backbone.tokenizer),
            "steps": backbone.steps,
        },
        "data": {
            "source": run.data.source,
            "splits": {
                split: {"sha256": record.sha256, "examples": record.examples}
                for split, record in run.data.splits.items()
            },
        },
        "protocol": run.protocol,
        "max_length": run.hyperparameters["max_length"],
        "hyperparameters": run.hyperparameters,
        "metric": task.metric,
        "seeds": [seed.model_dump() for seed in seeds],
        "scores": {split: score_over(seeds, split).model_dump() for split in seeds[0].scores},
        "metrics": {} if averaged else run.metrics,
        "origin": origin.model_dump(),
        "teacher": taught_by(run),
        "ledger": {field: getattr(run.ledger, field) for field in type(run.ledger).model_fields},
        "versions": run.versions,
        "licence": licence,
        "data_licence": task.licence,
        "files": {},
    }
    return PackageManifest.model_validate_json(json.dumps(values))


def _origin(run: RunManifest) -> Origin:
    """How one run's weights came about: alone, or beside frozen adapters of others."""
    told = run.model_extra or {}
    kinds: dict[str, Literal["fusion", "stack"]] = {"fused": "fusion", "stacked": "stack"}
    for key, kind in kinds.items():
        if frozen := told.get(key):
            parents = tuple(str(each["sha256"]) for each in frozen)
            return Origin(kind=kind, seed=run.seed, parents=parents)
    return Origin(kind="run", seed=run.seed)


def _backbone_of(run: Run, backbone: str | Path | None) -> LoadedBackbone:
    stated, where = run.manifest.backbone, str(RunDirectory(run.path).manifest_path)
    trained_on = TrainedOn("run", where, stated.id, stated.fingerprint, "--backbone")
    return load_trained_on(trained_on, backbone)


def public_id(backbone: LoadedBackbone) -> str:
    """What names the backbone to others: of a folder its last part, never where it lies."""
    is_folder = backbone.path is not None and backbone.id == str(backbone.path)
    return Path(backbone.id).name if is_folder else backbone.id


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """A task's configuration without the folder of somebody's data."""
    return {key: value for key, value in config.items() if key != "data"}


def _name_for_others(folder: Path, backbone: str) -> None:
    """AdapterHub loads a head only into the class it names, and asks whose an adapter is."""
    for path in folder.rglob("*.json"):
        name = path.relative_to(folder).as_posix()
        if name == HEAD_CONFIG_FILE or is_adapter_config(name) or is_fusion_config(name):
            content = json.loads(path.read_text(encoding="utf-8"))
            content |= {"model_class": "AlbertAdapterModel", "model_name": backbone}
            write_json(path, content)
