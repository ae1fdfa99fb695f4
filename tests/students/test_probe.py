from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertTokenizerFast

from adapterkit.runs.errors import UserError
from adapterkit.students.probe import open_probe, probe_f1

_TASK = """name: tiny
kind: {kind}
labels: [Drug]
files: {{train: train.tsv, dev: dev.tsv, test: missing.tsv}}
"""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task whose drugs are always the word aspirin, and whose test split does not exist."""
    sentence = "the O\naspirin B-Drug\nreduced O\npain O\n\n"
    other = "patients O\nwith O\nasthma O\n\nand O\naspirin B-Drug\n\n"
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text((sentence + other) * 5, encoding="utf-8")
    path = tmp_path / "tiny.yaml"
    path.write_text(_TASK.format(kind="ner"), encoding="utf-8")
    return path


def test_states_that_tell_the_words_apart_score_fully(
    task: Path, tokenizer: BertTokenizerFast
) -> None:
    probe = open_probe(str(task), tokenizer, window=16)
    table = torch.eye(len(tokenizer))
    assert probe_f1(probe, lambda ids, mask: table[ids]) == 1.0


def test_states_that_are_all_alike_score_nothing(task: Path, tokenizer: BertTokenizerFast) -> None:
    probe = open_probe(str(task), tokenizer, window=16)
    assert probe_f1(probe, lambda ids, mask: torch.ones(*ids.shape, 4)) == 0.0


def test_few_sentences_are_spread_over_the_split(task: Path, tokenizer: BertTokenizerFast) -> None:
    probe = open_probe(str(task), tokenizer, window=16, sentences=3)
    assert [len(probe.train), len(probe.dev)] == [3, 3]
    assert probe.source == "dir"


def test_a_task_of_another_kind_is_refused(task: Path, tokenizer: BertTokenizerFast) -> None:
    task.write_text(_TASK.format(kind="classification"), encoding="utf-8")
    with pytest.raises(UserError, match=r"evaluation\.probe"):
        open_probe(str(task), tokenizer, window=16)
