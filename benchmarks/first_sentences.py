"""The first sentences of corpora, as tasks of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from adapterkit.tasks.examples import NerExample
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.sources import load_data


def write_first(name: str, folder: Path, counts: dict[str, int]) -> Path:
    """Write the first sentences of each split of an NER task.

    Args:
        name: The task.
        folder: Where to.
        counts: How many sentences of each split.

    Returns:
        The YAML file of the task that reads them.
    """
    task = load_task(name)
    found = load_data(task, "auto")
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in counts.items():
        examples = [e for e in found.splits[split] if isinstance(e, NerExample)][:count]
        sentences = (
            "\n".join(f"{word}\t{tag}" for word, tag in zip(e.words, e.tags, strict=True))
            for e in examples
        )
        (folder / f"{split}.tsv").write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    described: dict[str, Any] = {
        "name": f"{name}-first",
        "title": f"the first sentences of {name}'s splits",
        "kind": "ner",
        "labels": list(task.labels),
        "metric": "strict_f1",
        "max_length": task.max_length,
        "scheme": "iob2",
        "source": task.source,
        "licence": task.licence,
        "citation": task.citation,
        "files": {split: {"data": f"{split}.tsv"} for split in counts},
    }
    path = folder / f"{name}-first.yaml"
    path.write_text(yaml.safe_dump(described), encoding="utf-8")
    return path
