"""What students weigh and cost, told by their files and by running them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from adapterkit.backbones.fusing import fuse_updates
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.pruned import parameter_count
from adapterkit.students.throughput import count_flops

TOKENS = 128
ROUNDS = 15


@torch.no_grad()
def measure_students(folders: list[Path], runs: Path) -> list[dict[str, Any]]:
    """Measure each student, and the teacher.

    Latencies are those of one text of 128 word pieces on one thread, the students taking turns.

    Args:
        folders: Of finished students.
        runs: Where the folders of compressed starts lie, whose cards tell their errors.
    """
    torch.set_num_threads(1)
    sources = ["minilm-l6", *map(str, folders)]
    backbones = [load_backbone(source) for source in sources]
    ids = torch.randint(1000, 20_000, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    models = [backbone.model.eval().requires_grad_(False) for backbone in backbones]
    flops = []
    for model in models:
        fuse_updates(model)
        flops.append(count_flops(lambda model=model: model(**batch)) // TOKENS)
    spent: list[list[float]] = [[] for _ in models]
    for _ in range(ROUNDS):
        for times, model in zip(spent, models, strict=True):
            started = time.perf_counter()
            model(**batch)
            times.append(time.perf_counter() - started)
    found = []
    for source, backbone, cost, times in zip(sources, backbones, flops, spent, strict=True):
        folder = None if source == "minilm-l6" else Path(source)
        found.append(
            {
                "student": source if folder is None else folder.name,
                "fingerprint": backbone.fingerprint,
                "parameters": parameter_count(backbone.model),
                "bytes": None if folder is None else _bytes(folder),
                "flops_per_token": cost,
                "latency_ms": round(1000 * median(times), 2),
                **({} if folder is None else _told(folder, runs)),
            }
        )
    return found


def _told(folder: Path, runs: Path) -> dict[str, Any]:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    told = {key: card[key] for key in ("recipe", "tokens_seen", "seconds", "scores", "commit")}
    start = runs / f"start-{folder.name}" / "card.json"
    if start.is_file():
        told["compression"] = json.loads(start.read_text(encoding="utf-8"))["compression"]
    return told


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
