from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterkit.tasks.check import check_task
from adapterkit.tasks.config import Expected, TaskConfig
from adapterkit.tasks.examples import NerExample, TextExample
from adapterkit.tasks.locating import DataSource
from adapterkit.tasks.registry import load_task, task_names
from adapterkit.tasks.sources import TaskData, load_data

LONG = ("naloxone", "reverses", "the", "hypotension")


def data(task: TaskConfig, kind: str = "dir", **splits: list[NerExample | TextExample]) -> TaskData:
    held = {name: tuple(examples) for name, examples in splits.items()}
    return TaskData(task, DataSource(kind, "x"), held, {}, ())  # type: ignore[arg-type]


def example(id_: str, document: str, words: tuple[str, ...], first: str = "O") -> NerExample:
    return NerExample(id_, document, words, (first, *["O"] * (len(words) - 1)))


def messages(report: object, severity: str) -> list[str]:
    return [p.message for p in report.problems if p.severity == severity]  # type: ignore[attr-defined]


def test_counts_and_overlaps(ner_task: TaskConfig) -> None:
    report = check_task(
        ner_task,
        data(
            ner_task,
            train=[
                example("1", "d1", LONG, "B-X"),
                example("2", "d1", ("a", "b"), "B-Y"),
                example("3", "d2", LONG),
            ],
            test=[example("1", "d2", LONG, "B-X"), example("2", "d3", ("a", "b"))],
        ),
    )
    train = report.splits["train"]
    assert (train.examples, train.documents, train.words, train.longest) == (3, 2, 10, 4)
    assert train.labels == {"X": 1, "Y": 1}
    assert (train.without_label, train.repeated) == (1, 1)
    (overlap,) = report.overlaps
    assert (overlap.documents, overlap.texts, overlap.long_texts) == (1, 2, 1)
    assert messages(report, "error") == ["train and test share 1 documents"]
    assert messages(report, "warning") == [
        "test: no example of Y",
        "1 examples of test with 20 or more characters are also in train",
    ]
    assert not report.is_ok
    assert json.loads(json.dumps(report.as_dict()))["ok"] is False


def test_expected_counts_are_compared_with_the_corpus_alone(ner_task: TaskConfig) -> None:
    expected = Expected(examples=2, documents=1, tokens=2, labels={"X": 1, "Y": 3})
    task = ner_task.model_copy(update={"expected": {"train": expected}})
    splits = {"train": [example("1", "d", ("a",), "B-X"), example("2", "d", ("b",), "B-Y")]}
    report = check_task(task, data(task, **splits))
    assert messages(report, "error") == ["train: 1 Y, expected 3"]
    assert check_task(task, data(task, "sample", **splits)).is_ok


def test_broken_data_are_found(ner_task: TaskConfig) -> None:
    bad = NerExample("1", "d", ("a", "b"), ("O", "I-X"))
    report = check_task(ner_task, data(ner_task, train=[bad, bad]))
    assert messages(report, "error") == [
        "train: nothing is labelled",
        "train: 1 ids are given twice",
        "train, example 1: I-X cannot follow O",
    ]


def test_texts(multilabel_task: TaskConfig) -> None:
    train = [TextExample("1", "1", "one two three", ("a", "b")), TextExample("2", "2", "four", ())]
    report = check_task(multilabel_task, data(multilabel_task, train=train))
    assert report.splits["train"].labels == {"a": 1, "b": 1, "c": 0}
    assert report.splits["train"].without_label == 1
    assert report.is_ok


@pytest.mark.parametrize("name", task_names())
def test_real_corpora_pass(corpora: Path, name: str) -> None:
    task = load_task(name)
    report = check_task(task, load_data(task))
    assert messages(report, "error") == []
    shared = {(one.first, one.second): one.documents for one in report.overlaps if one.documents}
    assert shared == ({("train", "test"): 10} if name == "jnlpba" else {})


def test_documents_that_the_corpus_itself_repeats_are_a_warning(ner_task: TaskConfig) -> None:
    splits = {
        "train": [example("1", "d1", LONG, "B-X"), example("2", "d2", ("a",), "B-Y")],
        "test": [example("1", "d1", ("b",), "B-X"), example("2", "d2", ("c",), "B-Y")],
    }
    for known, severity in ((2, "warning"), (1, "error")):
        expected = Expected(examples=2, shared_documents={"train": known})
        task = ner_task.model_copy(update={"expected": {"test": expected}})
        (message,) = messages(check_task(task, data(task, **splits)), severity)
        assert message.startswith("train and test share 2 documents")


@pytest.mark.parametrize("name", ["bc5cdr", "ncbi_disease", "hoc"])
def test_bundled_samples_pass(name: str) -> None:
    task = load_task(name)
    report = check_task(task, load_data(task, "sample"))
    assert messages(report, "error") == []
    assert messages(report, "warning") == []
