"""What a run leaves: predictions, adapter and ``run.json``, each whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from adapterkit.plans.ledger import ledger
from adapterkit.plans.manifest import read_plan_manifest
from adapterkit.plans.saving import save_adapted
from adapterkit.runs import manifest as manifests
from adapterkit.runs.atomic import atomic_directory
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.environment import hardware, peak_memory_bytes, versions
from adapterkit.runs.jsonable import json_ready
from adapterkit.runs.manifest import RunManifest
from adapterkit.runs.sealing import sealed
from adapterkit.tasks.examples import Example, NerExample
from adapterkit.tasks.schemes import spans_from_tags
from adapterkit.tuning.batches import padding_share
from adapterkit.tuning.evaluation import EvaluationSplit
from adapterkit.tuning.prepare import FROZEN, Prepared
from adapterkit.tuning.unlearned import same_for_all

Predictions = Sequence[tuple[str, ...]]


def write_results(
    directory: RunDirectory,
    prepared: Prepared,
    predictions: Mapping[str, Predictions],
    metrics: Mapping[str, dict[str, Any]],
    timings: Mapping[str, float],
    command: str,
    padding: float,
) -> RunManifest:
    """Write everything a finished run holds, ``run.json`` last, and drop the checkpoints."""
    for leftover in (directory.adapter_path, directory.predictions_path):
        # A run killed while it wrote its results writes them again.
        shutil.rmtree(leftover, ignore_errors=True)
    save_adapted(prepared.applied, directory.adapter_path)
    with atomic_directory(directory.predictions_path) as folder:
        for name, predicted in predictions.items():
            lines = _prediction_lines(prepared.splits[name], predicted)
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    notes = [*_unlearned(prepared, predictions), *_profiled(directory)]
    manifest = sealed(_manifest(prepared, metrics, timings, command, padding, notes), directory)
    manifests.save(manifest, directory.manifest_path)
    drop_work(directory)
    return manifest


def drop_work(directory: RunDirectory) -> None:
    """Remove what only an unfinished run needs."""
    shutil.rmtree(directory.checkpoints_path, ignore_errors=True)
    directory.state_path.unlink(missing_ok=True)


def batch_padding(prepared: Prepared, batches: Sequence[Sequence[int]]) -> float:
    """The share of padding in the training batches of an epoch."""
    lengths = [len(window.input_ids) for window in prepared.splits["train"].encoded.windows]
    return padding_share(batches, lengths)


def _manifest(
    prepared: Prepared,
    metrics: Mapping[str, dict[str, Any]],
    timings: Mapping[str, float],
    command: str,
    padding: float,
    notes: Sequence[str],
) -> RunManifest:
    request, data = prepared.request, prepared.data
    counts = ledger(prepared.applied).as_dict()
    values = {
        "status": "finished",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "task": prepared.task.name,
        "task_config": prepared.task.model_dump(mode="json"),
        "labels": list(prepared.task.output_names),
        "plan": str(prepared.applied.plan),
        "seed": request.seed,
        "protocol": request.protocol,
        "sample": data.source.is_sample,
        "data": {
            "source": data.source.kind,
            "location": data.source.location,
            "splits": {
                name: {"sha256": data.sha256[name], "examples": len(split.examples)}
                for name, split in prepared.splits.items()
            },
        },
        "backbone": {
            "id": prepared.backbone.id,
            "fingerprint": prepared.backbone.fingerprint,
            "steps": prepared.backbone.steps,
        },
        "ledger": counts,
        "hyperparameters": {
            **prepared.settings.as_dict(),
            "limit_train": request.limit_train,
            "limit_dev": request.limit_dev,
            "optimiser": "AdamW",
            "schedule": "linear",
        },
        "metrics": dict(metrics),
        "start": _start(prepared),
        **_frozen(prepared),
        **({} if prepared.teacher is None else {"teacher": prepared.teacher.as_dict()}),
        "prefix": None if prepared.prefix is None else prepared.prefix.as_dict(),
        "timings": dict(timings),
        "memory": {"peak_bytes": peak_memory_bytes()},
        "versions": versions(),
        "hardware": hardware(),
        "padding_share": round(padding, 4),
        "notes": [*_notes(prepared), *notes],
    }
    # As JSON has it, so that the manifest equals the one read back.
    return RunManifest.model_validate(json_ready(values))


def _start(prepared: Prepared) -> dict[str, str] | None:
    """What the weights were before training, where they were not new."""
    if prepared.request.start_from is None:
        return None
    return {"sha256": prepared.inputs["weights it started from"]}


def _frozen(prepared: Prepared) -> dict[str, list[dict[str, str]]]:
    """Whose adapters stayed frozen, by the task they were trained for and a sum of their weights.

    They stand under ``fused``, or ``stacked`` where the one that learned stands on one of them.
    """
    folders = prepared.request.frozen
    if not folders:
        return {}
    tasks = [read_plan_manifest(Path(folder)).name for folder in folders]
    pairs = zip(tasks, prepared.inputs[FROZEN], strict=True)
    key = "fused" if prepared.request.fuse else "stacked"
    return {key: [{"task": task, "sha256": digest} for task, digest in pairs]}


def _notes(prepared: Prepared) -> list[str]:
    notes = [*prepared.data.notes, *(prepared.prefix.notes if prepared.prefix else ())]
    for name, split in prepared.splits.items():
        if split.encoded.truncated:
            what = "words shortened" if prepared.task.kind == "ner" else "texts cut"
            notes.append(
                f"{name}: {split.encoded.truncated} {what} to fit {prepared.settings.max_length} "
                "word pieces"
            )
    if prepared.request.limit_train is not None:
        notes.append(f"trained on the first {len(prepared.splits['train'].examples)} examples only")
    if prepared.request.limit_dev is not None:
        notes.append(f"dev is the first {len(prepared.splits['dev'].examples)} examples only")
    return notes


def _unlearned(prepared: Prepared, predictions: Mapping[str, Predictions]) -> list[str]:
    same = same_for_all(prepared.splits["test"].examples, predictions["test"])
    if same is None:
        return []
    return [
        f"nothing was learned that shows: it predicts {same} of test; more epochs (--epochs), more "
        "examples or other rates (--lr, --head-lr) may help"
    ]


def _profiled(directory: RunDirectory) -> list[str]:
    profiled = directory.profile_path.exists()
    return ["profiled: the time of training includes the profiler's"] if profiled else []


def _prediction_lines(split: EvaluationSplit, predictions: Predictions) -> list[str]:
    return [
        json.dumps(_record(example, predicted), ensure_ascii=False) + "\n"
        for example, predicted in zip(split.examples, predictions, strict=True)
    ]


def _record(example: Example, predicted: tuple[str, ...]) -> dict[str, Any]:
    record: dict[str, Any] = {"id": example.id, "document": example.document}
    if isinstance(example, NerExample):
        return {
            **record,
            "words": example.words,
            "gold": _spans(example.tags),
            "predicted": _spans(predicted),
        }
    return {**record, "gold": example.labels, "predicted": predicted}


def _spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.label) for span in spans_from_tags(tags)]
