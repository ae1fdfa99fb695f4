"""Adding a task is one YAML file: relations marked in the text, in a folder of the user's."""

import itertools

import pytest

YAML = """\
title: Which way a made-up substance acts, both marked in the sentence
kind: classification
labels: [RAISES, LOWERS, NONE]
negative_labels: [NONE]
metric: micro_f1
files: {train: train.csv, dev: dev.csv, test: test.csv}
columns: {text: sentence, label: relation, id: key}
expected: {train: {examples: 24, labels: {RAISES: 8, LOWERS: 8, NONE: 8}}}
"""
VERBS = {"RAISES": "lifts", "LOWERS": "damps", "NONE": "meets"}


@pytest.fixture
def own_task(tmp_path):
    """A folder that holds a corpus of its own, and the one file that makes a task of it."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for split, times in (("train", 8), ("dev", 2), ("test", 2)):
        rows = ["key,sentence,relation"]
        for number, (turn, (label, verb)) in enumerate(
            itertools.product(range(times), VERBS.items())
        ):
            rows.append(f"{split}{number},<< zor{turn} >> {verb} [[ gax{number} ]],{label}")
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = folder / "substances.yaml"
    path.write_text(YAML, encoding="utf-8")
    return path


def test_one_file_makes_a_task_of_a_corpus(cli, own_task, tiny_backbone, tmp_path):
    checked = cli("tasks", "check", own_task)
    assert checked.status == 0, checked.stdout
    run = tmp_path / "run"
    tuned = cli(
        *("tune", "--task", own_task, "--backbone", tiny_backbone, "--mode", "full"),
        *("--epochs", 20, "--lr", "3e-3", "--output", run, "--json"),
    )
    assert tuned.status == 0, tuned.stderr
    metrics = tuned.json["metrics"]["test"]
    assert metrics["metric"] == "micro_f1"
    # Random words tell nothing: only the verb does, and 24 examples are enough to learn it.
    assert metrics["score"] > 0.5
    scored = cli("evaluate", run, "--task", own_task, "--json")
    assert scored.json["metrics"] == metrics
    text = b"<< zor0 >> lifts [[ gax9 ]]\n"
    predicted = cli("predict", "--adapter", run, "--format", "json", stdin=text)
    assert predicted.status == 0, predicted.stderr
    (read,) = predicted.json["texts"]
    assert read["labels"][0]["label"] in VERBS


def test_wrong_counts_are_told(cli, own_task):
    own_task.write_text(YAML.replace("RAISES: 8", "RAISES: 9"), encoding="utf-8")
    checked = cli("tasks", "check", own_task)
    assert checked.status == 2
    assert "train: 8 RAISES, expected 9" in checked.stdout
