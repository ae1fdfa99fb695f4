"""A run's scores, reproduced from its directory alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.tuning.run import Run

from .conftest import RunTiny, evaluate_run, make_backbone, write_corpus, write_texts
from .test_tune import SEVERAL, SINGLE


@pytest.fixture(scope="module")
def texts(run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A finished run of each kind of classification."""
    runs = {}
    for task in (SINGLE, SEVERAL):
        folder = tmp_path_factory.mktemp(task["kind"])
        own = write_texts(folder / "data", task, "jsonl")
        runs[task["kind"]] = run_tiny(task=own, data="auto", output=folder / "run")
    return runs


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("plan", ["lora", "0:krona 1-2:adakron", "0-1:frozen 2:full", "side(r=4)"])
def test_every_digit_of_ner(plan: str, split: str, run_tiny: RunTiny, tmp_path: Path) -> None:
    run = run_tiny(plan=plan, epochs=1, output=tmp_path / "run")
    result = evaluate_run(run.path, split=split)
    assert result["metrics"] == run.metrics[split]
    assert result["data"]["same_as_run"]
    assert result["data"]["examples"] == 12


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_every_digit_of_texts(kind: str, split: str, texts: dict[str, Run]) -> None:
    run = texts[kind]
    assert evaluate_run(run.path, split=split)["metrics"] == run.metrics[split]


def test_every_digit_of_nlpies_protocol(run_tiny: RunTiny, tmp_path: Path) -> None:
    run = run_tiny(protocol="nlpie", output=tmp_path / "run")
    result = evaluate_run(run.path)
    assert result["protocol"] == "nlpie"
    assert result["metrics"] == run.metrics["test"]


def test_every_digit_in_another_process(finished: Run, tmp_path: Path) -> None:
    code = "from adapterkit.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "evaluate", str(finished.path), "--json"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    printed = json.loads(done.stdout)
    assert (
        printed["metrics"]
        == json.loads((finished.path / "run.json").read_text())["metrics"]["test"]
    )


def test_a_moved_run(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(finished.path, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert evaluate_run("moved")["metrics"] == finished.metrics["test"]


def test_the_training_split(finished: Run) -> None:
    result = evaluate_run(finished.path, split="train")
    assert result["data"]["examples"] == 32
    assert result["data"]["same_as_run"]


def test_scoring_changes_nothing(finished: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    evaluate_run(finished.path)
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


def test_other_data_when_asked_for(finished: Run, tmp_path: Path) -> None:
    other = write_corpus(tmp_path / "other", seed=5)
    result = evaluate_run(finished.path, data=other)
    assert result["data"]["same_as_run"] is False
    assert result["data"]["location"] == str(other)
    assert result["metrics"] != finished.metrics["test"]


class TestRefusals:
    @pytest.fixture
    def run(self, run_tiny: RunTiny, tmp_path: Path) -> Run:
        """A run whose data and backbone may be damaged."""
        data = write_corpus(tmp_path / "data")
        backbone = make_backbone(tmp_path / "made")
        options: dict[str, Any] = {"epochs": 1, "limit_train": 4, "plan": "head"}
        return run_tiny(data=data, backbone=backbone, output=tmp_path / "run", **options)

    def test_data_that_changed(self, run: Run, tmp_path: Path) -> None:
        before = run.manifest.data.splits["test"].sha256
        write_corpus(tmp_path / "data", seed=9)
        with pytest.raises(UserError, match="test data of the run are gone or have changed") as e:
            evaluate_run(run.path)
        assert str(tmp_path / "data") in str(e.value.where)
        assert before in str(e.value.allowed)
        assert "--data" in str(e.value.hint)
        asked = evaluate_run(run.path, data=tmp_path / "data")
        assert asked["data"]["same_as_run"] is False

    def test_data_that_are_gone_are_not_replaced_by_the_sample(
        self, run: Run, tmp_path: Path
    ) -> None:
        shutil.rmtree(tmp_path / "data")
        with pytest.raises(UserError, match="gone or have changed") as error:
            evaluate_run(run.path)
        assert str(tmp_path / "data") in str(error.value)
        assert "sample" in str(error.value.where)

    def test_a_split_that_is_gone(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "data" / "test.tsv").unlink()
        with pytest.raises(UserError, match=r"lacks test\.tsv"):
            evaluate_run(run.path)
        assert evaluate_run(run.path, split="dev")["metrics"] == run.metrics["dev"]

    def test_a_backbone_that_changed(self, run: Run, tmp_path: Path) -> None:
        folder = tmp_path / "made" / "backbone"
        shutil.rmtree(folder)
        make_backbone(tmp_path / "other", seed=1).rename(folder)
        with pytest.raises(UserError, match="not the one that the run was trained on") as error:
            evaluate_run(run.path)
        assert run.manifest.backbone.fingerprint in str(error.value.allowed)

    def test_a_backbone_that_is_gone(self, run: Run, tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / "made")
        with pytest.raises(UserError, match="was not found") as error:
            evaluate_run(run.path)
        assert "no such backbone" in str(error.value.found)

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            (("labels",), ["O", "B-X"], "labels contradict"),
            (("task_config", "kind"), "sequence", "task configuration is damaged"),
            (("hyperparameters", "max_length"), 4096, "window length is damaged"),
            (("hyperparameters", "max_length"), "64", "window length is damaged"),
        ],
    )
    def test_a_manifest_that_contradicts_itself(
        self, field: tuple[str, ...], value: Any, words: str, finished: Run, tmp_path: Path
    ) -> None:
        run = Path(shutil.copytree(finished.path, tmp_path / "run"))
        content = json.loads((run / "run.json").read_text())
        place = content
        for name in field[:-1]:
            place = place[name]
        place[field[-1]] = value
        (run / "run.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=words) as error:
            evaluate_run(run)
        assert str(run / "run.json") in str(error.value.where)

    def test_an_adapter_that_is_damaged(self, finished: Run, tmp_path: Path) -> None:
        run = Path(shutil.copytree(finished.path, tmp_path / "run"))
        for file in (run / "adapter").rglob("*.safetensors"):
            file.write_bytes(file.read_bytes()[:-8])
        with pytest.raises(UserError) as error:
            evaluate_run(run)
        assert str(run / "adapter") in str(error.value)

    def test_what_is_not_there(self, finished: Run, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no finished run"):
            evaluate_run(tmp_path)
        with pytest.raises(UserError, match="no such split") as error:
            evaluate_run(finished.path, split="validation")
        assert error.value.allowed == "train, dev, test"
        with pytest.raises(UserError, match="other labels") as error:
            evaluate_run(finished.path, task="ncbi_disease")
        assert error.value.where == "--task ncbi_disease"
