"""Finished runs on a made-up corpus, and tables of them, without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapterkit.comparing.records.left_out import LeftOut
from adapterkit.comparing.records.record import RunRecord
from adapterkit.comparing.statistics.difference import Difference
from adapterkit.comparing.statistics.spread import spread
from adapterkit.comparing.tables.row import Inference, Row
from adapterkit.comparing.tables.table import Table
from adapterkit.runs.hashing import sha256_file
from adapterkit.runs.manifest import RunManifest, save
from adapterkit.tasks.registry import load_task

TRAIN = (
    "Lithium\tB-Chemical\ncaused\tO\nrenal\tB-Disease\nfailure\tI-Disease\n\nTremor\tB-Disease\n"
)


def line(words: str, gold: list[Any], predicted: list[Any], document: str = "1") -> dict[str, Any]:
    """A line of a run's predictions."""
    return {
        "id": words,
        "document": document,
        "words": words.split(),
        "gold": gold,
        "predicted": predicted,
    }


PREDICTED = [
    line(
        "lithium and Renal failure",
        [[0, 1, "Chemical"], [2, 4, "Disease"]],
        [[0, 1, "Chemical"], [3, 4, "Disease"]],
    ),
    line("aspirin for nausea", [[0, 1, "Chemical"], [2, 3, "Disease"]], [[0, 1, "Chemical"]]),
    # Training showed the words, but with another type.
    line("tremor", [[0, 1, "Chemical"]], [[0, 1, "Disease"]], "2"),
]


def record(
    folder: Path,
    predictions: Sequence[dict[str, Any]] = PREDICTED,
    score: float = 0.5,
    **changes: Any,
) -> RunRecord:
    """Write a run as `tune` writes one, but for what it learned."""
    data = folder / "data"
    data.mkdir(parents=True)
    (data / "train.tsv").write_text(TRAIN, encoding="utf-8")
    (folder / "predictions").mkdir()
    lines = "".join(json.dumps(each) + "\n" for each in predictions)
    (folder / "predictions" / "test.jsonl").write_text(lines, encoding="utf-8")
    per_type = {"Chemical": {"f1": score - 0.25}, "Disease": {"f1": score + 0.25}}
    measures = {"score": score, "metric": "strict_f1", "per_type": per_type}
    values = {
        "status": "finished",
        "created": "2026-01-01",
        "command": "adapterkit tune",
        "task": "bc5cdr",
        "task_config": load_task("bc5cdr").model_dump(mode="json"),
        "labels": load_task("bc5cdr").output_names,
        "plan": "0-2:full",
        "seed": 0,
        "sample": False,
        "data": {
            "source": "dir",
            "location": str(data),
            "splits": {"train": {"sha256": sha256_file(data / "train.tsv"), "examples": 2}},
        },
        "backbone": {"id": "bundled", "fingerprint": "sha256:0", "steps": 3},
        "ledger": dict.fromkeys(
            ("backbone", "layerwise", "task", "head", "trainable", "shipped_bytes"), 1
        ),
        "hyperparameters": {"limit_train": None},
        "metrics": {"dev": measures, "test": measures},
        "timings": {"train_seconds": 1, "evaluate_seconds": 1, "cache_seconds": 0},
        "memory": {"peak_bytes": 1},
        "versions": {},
        "hardware": {},
    }
    manifest = RunManifest.model_validate({**values, **changes})
    save(manifest, folder / "run.json")
    return RunRecord(folder, manifest)


def write_log(run: RunRecord, scores: dict[float, float]) -> None:
    """Write the scores on dev by epoch as `tune` logs them."""
    lines = [json.dumps({"event": "start"}), json.dumps({"update": 1, "loss": 1.0, "epoch": 0.5})]
    lines += [json.dumps({"eval_score": score, "epoch": epoch}) for epoch, score in scores.items()]
    (run.path / "log.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def row(runs: Sequence[RunRecord], trainable: int = 1000, **changes: Any) -> Row:
    """A row of the table."""
    first = runs[0].manifest
    values: dict[str, Any] = {
        "plan": first.plan,
        "task": first.task,
        "backbone": first.backbone.id,
        "seeds": tuple(run.manifest.seed for run in runs),
        "task_parameters": trainable - 100,
        "head_parameters": 100,
        "trainable": trainable,
        "share": trainable / 1e6,
        "shipped_bytes": 4 * trainable,
        "score": spread(run.manifest.metrics["test"]["score"] for run in runs),
        "difference": None,
        "p_holm": None,
        "aso_epsilon": None,
        "train_seconds": spread([trainable / 10, trainable / 9]),
        "peak_bytes": spread([1e9, 1.1e9]),
        "inference": None,
        "best": False,
        "runs": tuple(runs),
    }
    return Row(**{**values, **changes})


PLANS = {
    "head": (100, 0.31),
    "0-2:adapter(lora,r=8)": (20_000, 0.55),
    "0:frozen 1-2:adapter(seq_bn,r=16)": (90_000, 0.66),
    "0-2:full": (5_000_000, 0.7),
}


def table(folder: Path, **changes: Any) -> Table:
    """A table of four plans with two seeds each, with logs, and all but the first with latency."""
    rows = []
    for number, (plan, (trainable, score)) in enumerate(PLANS.items()):
        runs = [
            record(folder / f"{number}-{seed}", score=score + seed / 100, plan=plan, seed=seed)
            for seed in (0, 1)
        ]
        for run in runs:
            write_log(run, {1.0: score / 2, 2.0: score - 0.05, 3.0: score})
        full = plan == "0-2:full"
        rows.append(
            row(
                runs,
                trainable,
                difference=None
                if full
                else Difference(score - 0.7, score - 0.75, score - 0.65, 0.01),
                p_holm=None if full else 0.03,
                inference=Inference(3.0 + number, 5.0, 9000.0, 4096, 1) if number else None,
                best=full,
            )
        )
    values: dict[str, Any] = {
        "task": "bc5cdr",
        "metric": "strict_f1",
        "protocol": "word",
        "data": "dir: corpus",
        "rows": tuple(rows),
        "notes": ("two seeds are few",),
        "left_out": (LeftOut(Path("runs/broken"), "run.json was changed after the run"),),
        "reference": "0-2:full",
    }
    return Table(**{**values, **changes})
