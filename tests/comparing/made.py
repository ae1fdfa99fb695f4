"""Run directories as `adapterkit tune` leaves them, made without a model."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from adapterkit.runs import manifest as manifests
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.manifest import RunManifest
from adapterkit.runs.sealing import sealed

DOCUMENTS = 12
SENTENCES = 3
WORDS = 20
LABELS = ("Chemical", "Disease")

Span = tuple[int, int, str]


def make_run(
    path: Path,
    plan: str = "0-5:full",
    seed: int = 0,
    *,
    skill: float = 0.8,
    seal: bool = True,
    data: str = "dir",
    **changes: Any,
) -> Path:
    """Write a finished run of a NER task.

    Args:
        path: The run directory.
        plan: What it says of its plan.
        seed: Its seed, which its mistakes follow from.
        skill: The share of the mentions that it finds.
        seal: Whether ``run.json`` is sealed.
        data: What kind of source it says its data came from.
        changes: Fields of ``run.json`` that are otherwise.
    """
    (path / "adapter").mkdir(parents=True)
    (path / "adapter" / "weights.safetensors").write_bytes(b"weights")
    (path / "predictions").mkdir()
    metrics = {}
    for split in ("dev", "test"):
        sentences = _sentences(split, seed, skill, plan)
        lines = "".join(json.dumps(sentence) + "\n" for sentence in sentences)
        (path / "predictions" / f"{split}.jsonl").write_text(lines)
        metrics[split] = {"metric": "strict_f1", "score": _f1(sentences)}
    content = {**_content(plan, seed, data), "metrics": metrics, **changes}
    directory = RunDirectory(path)
    manifest = RunManifest.model_validate(content)
    manifests.save(sealed(manifest, directory) if seal else manifest, directory.manifest_path)
    return path


def edit(run: Path, *, seal: bool = False, **changes: Any) -> None:
    """Change fields of a run's ``run.json``, as a hand would, or `seal` it anew."""
    file = run / "run.json"
    content = {**json.loads(file.read_text()), **changes}
    if seal:
        manifests.save(sealed(RunManifest.model_validate(content), RunDirectory(run)), file)
    else:
        file.write_text(json.dumps(content))


def _sentences(split: str, seed: int, skill: float, plan: str) -> list[dict[str, Any]]:
    truth, chance = random.Random(split), random.Random(f"{split} {seed} {skill} {plan}")
    sentences = []
    for number in range(DOCUMENTS * SENTENCES):
        gold = [(start, start + 2, truth.choice(LABELS)) for start in (0, 5, 10)]
        predicted = [span for span in gold if chance.random() < skill]
        if chance.random() > skill:
            predicted.append((15, 16, chance.choice(LABELS)))
        sentences.append(
            {
                "id": f"{split}-{number}",
                "document": f"{split}-document-{number // SENTENCES}",
                "words": [f"w{index}" for index in range(WORDS)],
                "gold": gold,
                "predicted": predicted,
            }
        )
    return sentences


def _f1(sentences: list[dict[str, Any]]) -> float:
    """Strict F1 as the intersection of sets of mentions."""
    gold, predicted = (
        {(s["id"], *span) for s in sentences for span in s[which]}
        for which in ("gold", "predicted")
    )
    return 2 * len(gold & predicted) / (len(gold) + len(predicted))


def _content(plan: str, seed: int, data: str) -> dict[str, Any]:
    full = plan.endswith("full")
    ledger = {
        "backbone": 1000,
        "layerwise": 200,
        "task": 0 if full else 60,
        "head": 10,
        "trainable": 1010 if full else 70,
        "shipped_bytes": 4040 if full else 280,
    }
    return {
        "status": "finished",
        "created": "2026-01-02T03:04:05+00:00",
        "command": "adapterkit tune",
        "task": "made",
        "task_config": {
            "name": "made",
            "kind": "ner",
            "labels": LABELS,
            "files": {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"},
        },
        "labels": ["O", *(f"{prefix}-{label}" for label in LABELS for prefix in "BI")],
        "plan": plan,
        "seed": seed,
        "protocol": "word",
        "sample": data == "sample",
        "data": {
            "source": data,
            "location": "data/made",
            "splits": {
                name: {"sha256": f"{name:0<64}", "examples": DOCUMENTS * SENTENCES}
                for name in ("train", "dev", "test")
            },
        },
        "backbone": {"id": "bundled", "fingerprint": "sha256:aa", "steps": 6},
        "ledger": ledger,
        "hyperparameters": {
            "epochs": 3,
            "learning_rates": {"full": 3e-4, "bottleneck": 2e-3, "layerwise": 1.5e-3, "head": 2e-3},
            "limit_train": None,
        },
        "timings": {"train_seconds": 10.0 + seed, "evaluate_seconds": 1.0, "cache_seconds": 0.0},
        "memory": {"peak_bytes": 1_000_000_000},
        "versions": {"adapterkit": "0.1.0"},
        "hardware": {"cpu": "made-up", "cores": 2, "threads": 1},
        "notes": [],
    }
