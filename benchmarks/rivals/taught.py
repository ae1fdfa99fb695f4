"""The second stage of distillation: tuning students beside a teacher tuned for the task."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path


def run_taught(
    runs: Path,
    names: Sequence[str],
    tasks: Sequence[str],
    seeds: int,
    options: Sequence[str],
    adapterkit: Callable[..., None],
) -> None:
    """Tune students in full with a teacher; what is finished is kept.

    Args:
        runs: Where students and suites lie.
        names: The students.
        tasks: Names of the tasks whose first sentences are learned.
        seeds: How many.
        options: Of every run.
        adapterkit: Runs a command.
    """
    for task in tasks:
        teacher = _teacher(runs, task)
        file = next(iter(sorted(runs.glob(f"suite-*/{task}/*.yaml"))))
        for name in names:
            for seed in range(seeds):
                folder = runs / "taught" / f"{name}-{task}-s{seed}"
                if (folder / "run.json").is_file():
                    continue
                resume = ("--resume",) if (folder / "state.json").is_file() else ()
                adapterkit(
                    "tune", "--task", str(file), "--mode", "full",
                    "--backbone", str(runs / name), "--teacher", str(teacher),
                    "--seed", str(seed), *options, "--output", str(folder), *resume,
                )  # fmt: skip


def _teacher(runs: Path, task: str) -> Path:
    """The run of the tuned teacher that is best on dev."""
    found = []
    for path in runs.glob(f"cells-*/cells/{task}-*/run/run.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["backbone"]["id"] == "minilm-l6" and manifest["plan"].endswith("full"):
            found.append((manifest["metrics"]["dev"]["score"], path.parent))
    return max(found)[1]
