"""Writes a part of bc5cdr as a task of its own, for quick comparisons on text that is not test.

    python benchmarks/part.py runs/part
    adapterkit tune --task runs/part/part.yaml --data runs/part --mode adapter

Trained on are the first 1,500 training sentences; ``dev`` is the first 1,200 dev sentences and
``test`` the 1,200 after them, so that nothing is chosen by the test split.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_TASK = """name: part
title: a part of bc5cdr's train and dev splits
kind: ner
labels: [Chemical, Disease]
metric: strict_f1
max_length: 256
scheme: iob2
source: bc5cdr, its train and dev splits
licence: that of bc5cdr
citation: that of bc5cdr
files:
  train: {data: train.tsv}
  dev: {data: dev.tsv}
  test: {data: test.tsv}
"""


def main() -> None:
    """Write the files."""
    write_part(Path(sys.argv[1]))


def write_part(target: Path, train: int = 1500, dev: int = 1200, test: int = 1200) -> Path:
    """Write so many sentences of each split into a folder; returns the task file in it."""
    source = Path(os.environ["ADAPTERKIT_DATA"]) / "bc5cdr"
    target.mkdir(parents=True, exist_ok=True)
    of_train, of_dev = (_sentences(source / name) for name in ("train.tsv", "dev.tsv"))
    parts = {"train": of_train[:train], "dev": of_dev[:dev], "test": of_dev[dev : dev + test]}
    for name, sentences in parts.items():
        text = "\n\n".join(sentences) + "\n"
        (target / f"{name}.tsv").write_text(text, encoding="utf-8")
    (target / "part.yaml").write_text(_TASK, encoding="utf-8")
    return target / "part.yaml"


def _sentences(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").strip("\n").split("\n\n")


if __name__ == "__main__":
    main()
