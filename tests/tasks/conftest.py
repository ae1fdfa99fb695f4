"""A tokenizer that cuts words into their characters, and small tasks."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest

from adapterkit.tasks.config import TaskConfig


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A BERT tokenizer whose pieces are single characters: a word of n letters is n pieces."""
    from transformers import BertTokenizerFast

    characters = string.ascii_lowercase + string.digits
    pieces = [*characters, *(f"##{c}" for c in characters), *string.punctuation]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(vocabulary), encoding="utf-8")
    return BertTokenizerFast(vocab_file=str(path))


@pytest.fixture
def ner_task() -> TaskConfig:
    return TaskConfig.model_validate(
        {"name": "toy", "kind": "ner", "labels": ["X", "Y"], "files": {"train": "train.tsv"}}
    )


@pytest.fixture
def multilabel_task() -> TaskConfig:
    return TaskConfig.model_validate(
        {
            "name": "topics",
            "kind": "multilabel",
            "labels": ["a", "b", "c"],
            "files": {"train": "train.jsonl"},
        }
    )


@pytest.fixture
def class_task() -> TaskConfig:
    return TaskConfig.model_validate(
        {
            "name": "roles",
            "kind": "classification",
            "labels": ["none", "left", "right"],
            "negative_labels": ["none"],
            "files": {"train": "train.jsonl"},
        }
    )


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write a file, text or bytes, and return its path."""

    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write
