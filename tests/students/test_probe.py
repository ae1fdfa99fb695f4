from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transformers import BertTokenizerFast

from adapterkit.runs.errors import UserError
from adapterkit.students.probe import open_probe
from adapterkit.tasks.examples import TextExample


def test_the_test_split_need_not_be_there(
    entities: Path, labels: Path, tokenizer: BertTokenizerFast
) -> None:
    probe = open_probe([str(entities), str(labels)], tokenizer, window=16)
    assert [read.task.name for read in probe.tasks] == ["entities", "labels"]
    assert [read.source for read in probe.tasks] == ["dir", "dir"]
    assert probe.pad_token_id == tokenizer.pad_token_id


def test_few_examples_are_spread_over_the_split(
    entities: Path, tokenizer: BertTokenizerFast
) -> None:
    (read,) = open_probe([str(entities)], tokenizer, window=16, examples=3).tasks
    assert [len(read.train.examples), len(read.dev.examples)] == [3, 3]
    whole = open_probe([str(entities)], tokenizer, window=16).tasks[0].train.examples
    assert [whole.index(example) for example in read.train.examples] == [0, 5, 10]


def test_long_examples_are_fewer(labels: Path, tokenizer: BertTokenizerFast) -> None:
    (read,) = open_probe([str(labels)], tokenizer, window=16, pieces=40).tasks
    pieces = sum(len(window.input_ids) for window in read.train.encoded.windows)
    assert pieces == pytest.approx(40, rel=0.2)
    assert len(read.train.encoded.windows) == len(read.train.examples)


def test_texts_are_cut(labels: Path, tokenizer: BertTokenizerFast) -> None:
    text = labels.parent / "train.jsonl"
    text.write_text('{"text": "%s", "label": []}' % ("pain " * 400), encoding="utf-8")
    (read,) = open_probe([str(labels)], tokenizer, window=256).tasks
    assert [len(window.input_ids) for window in read.train.encoded.windows] == [128]


def test_the_bundled_sample_serves_where_there_is_nothing_else(
    tokenizer: BertTokenizerFast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ADAPTERKIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (read,) = open_probe(["hoc"], tokenizer, window=16, examples=5).tasks
    assert read.source == "sample"
    assert all(isinstance(example, TextExample) for example in read.dev.examples)


def test_an_unknown_task_is_told_with_the_nearest_name(tokenizer: BertTokenizerFast) -> None:
    with pytest.raises(UserError) as error:
        open_probe(["ncbi_diseases"], tokenizer, window=16)
    assert "did you mean ncbi_disease?" in str(error.value)
    assert error.value.where == "evaluation.probe"


def test_a_task_file_that_is_wrong_is_told_with_its_line(
    labels: Path, tokenizer: BertTokenizerFast
) -> None:
    labels.write_text(labels.read_text("utf-8").replace("kind", "kinds"), encoding="utf-8")
    with pytest.raises(UserError, match="not valid") as error:
        open_probe([str(labels)], tokenizer, window=16)
    assert error.value.where == f"evaluation.probe: {labels}, line 2"


def test_a_task_without_data_is_told(labels: Path, tokenizer: BertTokenizerFast) -> None:
    (labels.parent / "dev.jsonl").unlink()
    with pytest.raises(UserError, match=r"lacks dev\.jsonl") as error:
        open_probe([str(labels)], tokenizer, window=16)
    assert error.value.where == f"evaluation.probe: labels, {labels.parent}"
    assert "--data" not in str(error.value)


def test_an_empty_split_is_told(labels: Path, tokenizer: BertTokenizerFast) -> None:
    (labels.parent / "train.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="empty"):
        open_probe([str(labels)], tokenizer, window=16)


def test_two_tasks_of_one_name_are_refused(labels: Path, tokenizer: BertTokenizerFast) -> None:
    other = shutil.copy(labels, labels.parent / "other.yaml")
    with pytest.raises(UserError, match="same name"):
        open_probe([str(labels), str(other)], tokenizer, window=16)
