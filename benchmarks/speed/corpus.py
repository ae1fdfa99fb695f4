"""The texts that every competitor reads: sentences of bc5cdr, the same ones in the same order."""

from __future__ import annotations

from pathlib import Path

SPLITS = ("train", "dev", "test")
Sentence = tuple[list[str], list[str]]
"""Its words and their tags."""


def read_corpus(folder: Path) -> dict[str, list[Sentence]]:
    """Read the splits of a folder: a word and its tag a line, a blank line between sentences."""
    return {split: _sentences(folder / f"{split}.tsv") for split in SPLITS}


def tags_of(corpus: dict[str, list[Sentence]]) -> list[str]:
    """The tags of the head's outputs: O, and B and I of every entity type."""
    labels = {tag[2:] for split in corpus.values() for _, tags in split for tag in tags} - {""}
    return ["O", *(f"{prefix}-{label}" for label in sorted(labels) for prefix in "BI")]


def _sentences(path: Path) -> list[Sentence]:
    blocks = path.read_text(encoding="utf-8").strip("\n").split("\n\n")
    tagged = [[line.split("\t") for line in block.split("\n")] for block in blocks]
    return [([word for word, _ in rows], [tag for _, tag in rows]) for rows in tagged]
