from __future__ import annotations

import json
import shutil

import pytest

from adapterkit.comparing.records.reading import read_runs
from adapterkit.runs.errors import UserError
from tests.comparing.made import LABELS, edit, make_run


@pytest.fixture
def runs(tmp_path):
    """A folder of four good runs, two rows of two seeds."""
    for plan in ("full", "layerwise"):
        for seed in (0, 1):
            make_run(tmp_path / f"{plan}-{seed}", f"0-5:{plan}", seed)
    return tmp_path


def reasons(folder):
    records, left_out = read_runs([folder])
    assert not {record.path for record in records} & {item.path for item in left_out}
    return {item.path.name: item.reason for item in left_out}


def test_good_runs_are_all_read(runs):
    records, left_out = read_runs([runs])
    assert left_out == []
    assert [record.path.name for record in records] == [
        "full-0",
        "full-1",
        "layerwise-0",
        "layerwise-1",
    ]
    first = records[0].predictions("test")[0]
    assert (first.id, first.document, len(first.words)) == ("test-0", "test-document-0", 20)
    assert all(label in LABELS for _, _, label in first.gold)


def test_a_run_that_never_ended(runs):
    (runs / "full-1" / "run.json").unlink()
    edit(runs / "full-0", seal=True, status="interrupted")
    assert reasons(runs) == {
        "full-0": "unfinished: its status is interrupted",
        "full-1": "unfinished: it was stopped before its end, or its run.json is gone",
    }


def test_a_run_cut_short(runs):
    (runs / "full-0" / "predictions" / "test.jsonl").unlink()
    lines = (runs / "full-1" / "predictions" / "dev.jsonl").read_text().splitlines(keepends=True)
    (runs / "full-1" / "predictions" / "dev.jsonl").write_text("".join(lines[:-1]))
    edit(runs / "full-1", seal=True)
    (runs / "layerwise-0" / "run.json").write_text('{"schema": "adapterkit.run.v1", "sta')
    found = reasons(runs)
    assert found["full-0"] == "cut short: predictions/test.jsonl is missing"
    assert found["full-1"] == "cut short: predictions/dev.jsonl has 35 lines for 36 examples"
    assert "damaged" in found["layerwise-0"]
    assert "not JSON" in found["layerwise-0"]


def test_a_torn_line_of_predictions(runs):
    file = runs / "full-0" / "predictions" / "test.jsonl"
    file.write_text(file.read_text()[:-30])
    edit(runs / "full-0", seal=True)
    assert "the run's predictions are damaged" in reasons(runs)["full-0"]


def test_a_score_written_by_hand(runs):
    content = json.loads((runs / "full-0" / "run.json").read_text())
    better = {**content["metrics"], "test": {**content["metrics"]["test"], "score": 0.99}}
    edit(runs / "full-0", metrics=better)
    found = "edited or damaged: run.json was changed after the run: it does not match its digest"
    assert reasons(runs) == {"full-0": found}


def test_a_score_written_by_hand_and_sealed_anew(runs):
    content = json.loads((runs / "full-0" / "run.json").read_text())
    better = {**content["metrics"], "test": {**content["metrics"]["test"], "score": 0.99}}
    edit(runs / "full-0", seal=True, metrics=better)
    said = reasons(runs)["full-0"]
    assert said.startswith("edited: predictions/test.jsonl gives strict_f1 0.")
    assert said.endswith("but run.json says 0.9900")


@pytest.mark.parametrize("name", ["predictions/test.jsonl", "adapter/weights.safetensors"])
def test_a_file_changed_by_hand(runs, name):
    file = runs / "full-0" / name
    file.write_bytes(file.read_bytes().replace(b"w", b"v", 1))
    found = f"edited or damaged: {name} was changed after the run: it does not match its sha256"
    assert reasons(runs) == {"full-0": found}


def test_a_run_from_before_seals_is_checked_by_its_scores_alone(tmp_path):
    old = make_run(tmp_path / "old", seal=False)
    (record,), left_out = read_runs([old])
    assert (record.manifest.digest, left_out) == (None, [])
    file = old / "predictions" / "test.jsonl"
    sentence, *others = file.read_text().splitlines()
    content = json.loads(sentence)
    content["predicted"] = [] if content["predicted"] else content["gold"]
    file.write_text("\n".join([json.dumps(content), *others]) + "\n")
    assert "predictions/test.jsonl gives strict_f1" in reasons(old)["old"]


@pytest.mark.parametrize("schema", ["adapterkit.run.v0", None])
def test_an_older_schema(runs, schema):
    edit(runs / "full-0", schema=schema)
    said = reasons(runs)["full-0"]
    assert said.startswith("the run was written under another schema")
    assert "allowed adapterkit.run.v1" in said


def test_another_label_set(runs):
    labels = ["O", "B-Gene", "I-Gene"]
    edit(runs / "layerwise-1", seal=True, labels=labels)
    said = reasons(runs)
    assert said == {
        "layerwise-1": "another label set: B-Gene, I-Gene, O instead of B-Chemical, B-Disease, "
        "I-Chemical, I-Disease, O"
    }
    records, _ = read_runs([runs])
    assert len(records) == 3


def test_labels_in_another_order_are_the_same(runs):
    content = json.loads((runs / "full-0" / "run.json").read_text())
    edit(runs / "full-0", seal=True, labels=content["labels"][::-1])
    assert reasons(runs) == {}


def test_a_plan_that_is_not_understood(runs):
    edit(runs / "full-0", seal=True, plan="0-5:unheard_of")
    assert "unheard_of" in reasons(runs)["full-0"]


def test_a_run_that_does_not_know_its_task(runs):
    edit(runs / "full-0", seal=True, task_config=None)
    assert "does not say how its task was configured" in reasons(runs)["full-0"]


def test_a_seed_counts_once(runs):
    shutil.copytree(runs / "full-0", runs / "full-0-copy")
    assert reasons(runs) == {
        "full-0-copy": f"seed 0 a second time: {runs / 'full-0'} asked for the same"
    }


def test_another_learning_rate_is_not_the_same_again(runs):
    make_run(runs / "other", seed=0, hyperparameters={"learning_rates": {"full": 1e-3}})
    assert reasons(runs) == {}


def test_the_learning_rate_of_a_mechanism_that_is_not_there_is_the_same(runs):
    content = json.loads((runs / "full-0" / "run.json").read_text())["hyperparameters"]
    rates = {**content["learning_rates"], "layerwise": 1.0, "new": 2.0}
    make_run(runs / "other", seed=0, hyperparameters={**content, "learning_rates": rates})
    assert "seed 0 a second time" in reasons(runs)["other"]


def test_a_run_named_twice_is_read_once(runs):
    records, left_out = read_runs([runs / "full-0", runs / "full-0" / "run.json", runs])
    assert (len(records), left_out) == (4, [])


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="no run here") as error:
        read_runs([tmp_path / "nowhere"])
    assert str(tmp_path / "nowhere") in str(error.value)


class TestSuites:
    def suite(self, runs, cells):
        (runs / "suite.json").write_text(json.dumps({"cells": cells, "notes": ["by 9 trials"]}))

    def test_only_the_runs_it_lists_are_read(self, runs):
        make_run(runs / "search" / "trial", seed=5)
        self.suite(runs, [{"run": "full-0"}, {"run": "layerwise-0"}])
        records, left_out = read_runs([runs])
        assert [record.path.name for record in records] == ["full-0", "layerwise-0"]
        assert left_out == []

    def test_what_failed_or_never_ran_is_said(self, runs):
        (runs / "broken").mkdir()
        (runs / "broken" / "error.json").write_text(json.dumps({"message": "no memory\nat all"}))
        self.suite(runs, [{"run": "full-0"}, {"run": "broken/run"}, {"run": "later/run"}])
        _, left_out = read_runs([runs])
        assert [item.reason for item in left_out] == ["failed: no memory", "not run yet"]

    def test_a_damaged_suite_file_is_walked_around(self, runs):
        (runs / "suite.json").write_text("{")
        records, _ = read_runs([runs])
        assert len(records) == 4
