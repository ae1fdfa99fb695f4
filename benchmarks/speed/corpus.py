"""The texts that every competitor reads: sentences of bc5cdr, the same ones in the same order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from adapterkit.tasks.examples import NerExample
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.sources import load_data

SPLITS = ("train", "dev", "test")
Sentence = tuple[list[str], list[str]]
"""Its words and their tags."""


def write_corpus(folder: Path, sentences: int, dev: int) -> Path:
    """Write the first sentences of each split, as JSON for the peers and as a task for adapterkit.

    Args:
        folder: Where to.
        sentences: Of train and of test.
        dev: Of dev.

    Returns:
        The task's YAML file.
    """
    task = load_task("bc5cdr")
    found = load_data(task, "auto")
    folder.mkdir(parents=True, exist_ok=True)
    corpus: dict[str, list[Sentence]] = {}
    for split in SPLITS:
        count = dev if split == "dev" else sentences
        examples = [e for e in found.splits[split] if isinstance(e, NerExample)][:count]
        corpus[split] = [(list(e.words), list(e.tags)) for e in examples]
        text = "\n\n".join(
            "\n".join(f"{word}\t{tag}" for word, tag in zip(*sentence, strict=True))
            for sentence in corpus[split]
        )
        (folder / f"{split}.tsv").write_text(text + "\n", encoding="utf-8")
    (folder / "corpus.json").write_text(json.dumps(corpus), encoding="utf-8")
    described: dict[str, Any] = {
        "name": "speed",
        "title": "the first sentences of bc5cdr's splits",
        "kind": "ner",
        "labels": list(task.labels),
        "metric": "strict_f1",
        "max_length": task.max_length,
        "scheme": "iob2",
        "source": task.source,
        "licence": task.licence,
        "citation": task.citation,
        "files": {split: {"data": f"{split}.tsv"} for split in SPLITS},
    }
    (folder / "speed.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return folder / "speed.yaml"


def read_corpus(folder: Path) -> dict[str, list[Sentence]]:
    """Read what `write_corpus` wrote."""
    corpus: dict[str, list[Sentence]] = json.loads((folder / "corpus.json").read_text("utf-8"))
    return corpus


def tags_of(corpus: dict[str, list[Sentence]]) -> list[str]:
    """The tags of the head's outputs: O, and B and I of every entity type."""
    labels = {tag[2:] for split in corpus.values() for _, tags in split for tag in tags} - {""}
    return ["O", *(f"{prefix}-{label}" for label in sorted(labels) for prefix in "BI")]
