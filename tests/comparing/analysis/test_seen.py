from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adapterkit.comparing.analysis.analysis import analyse, type_scores
from adapterkit.comparing.analysis.seen import Recall, seen_recall, training_mentions
from adapterkit.runs.errors import UserError
from adapterkit.tasks.registry import load_task
from tests.comparing.making import PREDICTED, record


def test_recall_on_mentions_seen_and_unseen(tmp_path: Path) -> None:
    run = record(tmp_path / "run", PREDICTED)
    trained_on = training_mentions(run)
    assert trained_on == {
        ("lithium", "Chemical"),
        ("renal failure", "Disease"),
        ("tremor", "Disease"),
    }
    found = seen_recall(run.predictions("test"), trained_on)
    assert found.seen == Recall(found=1, total=2)
    assert found.unseen == Recall(found=1, total=3)
    assert Recall(0, 0).value is None


def test_only_what_the_run_was_trained_on_counts(tmp_path: Path) -> None:
    run = record(tmp_path / "run", PREDICTED, hyperparameters={"limit_train": 1})
    assert ("tremor", "Disease") not in training_mentions(run)
    assert ("lithium", "Chemical") in training_mentions(run)


def test_training_data_that_changed_or_are_gone(tmp_path: Path) -> None:
    run = record(tmp_path / "run", PREDICTED)
    (tmp_path / "run" / "data" / "train.tsv").write_text("Lithium\tO\n", encoding="utf-8")
    with pytest.raises(UserError, match="have changed"):
        training_mentions(run)
    shutil.rmtree(tmp_path / "run" / "data")
    with pytest.raises(UserError, match="not at hand"):
        training_mentions(run)
    found = analyse([run], "test")
    assert found.seen == ()
    assert "not at hand" in found.notes[0]
    pieces = record(tmp_path / "pieces", PREDICTED, protocol="nlpie")
    with pytest.raises(UserError, match="not told by their words"):
        training_mentions(pieces)


def test_a_plan_over_its_seeds(tmp_path: Path) -> None:
    first = record(tmp_path / "0", PREDICTED)
    second = record(tmp_path / "1", [PREDICTED[0]], seed=1)
    found = analyse([first, second], "test")
    assert found.errors["correct"].mean == 1.5
    assert found.errors["boundary"].mean == 1.0
    assert found.errors["missed"].mean == 0.5
    assert found.errors["type"].mean == 0.5
    assert found.confusions["Chemical", "Chemical"] == 3
    assert found.confusions["Chemical", "Disease"] == 1
    assert [each.document for each in found.worst] == ["1", "2"]
    assert len(found.seen) == 2
    assert type_scores([first, second], "test")["Disease"].mean == 0.75


def test_texts_have_confusions_alone(tmp_path: Path) -> None:
    config = load_task("hoc").model_dump(mode="json")
    label = config["labels"][0]
    text = {"id": "1", "document": "1", "gold": [label], "predicted": []}
    run = record(tmp_path / "run", [text], task="hoc", task_config=config)
    found = analyse([run], "test")
    assert found.kind == "multilabel"
    assert (found.errors, found.seen, found.worst) == ({}, (), ())
    assert found.confusions == {(label, None): 1}
