"""The main job: every kind of task from its files to a run directory that tells all."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.hashing import sha256_file
from adapterkit.runs.progress import Silence
from adapterkit.tuning.run import Run
from adapterkit.tuning.settings import LEARNING_RATES

from .conftest import (
    CHEMICALS,
    OTHERS,
    STEPS,
    RunTiny,
    assert_same,
    evaluate_run,
    learned,
    write_corpus,
    write_texts,
)

SINGLE = {"kind": "classification", "labels": ["drug", "upper", "metal", "smoke"]}
SEVERAL = {"kind": "multilabel", "labels": ["drug", "upper", "metal"]}


@pytest.mark.parametrize("plan", ["adapter", "full"])
def test_the_same_seed_gives_the_same_bits(plan: str, run_tiny: RunTiny, tmp_path: Path) -> None:
    first, second = (run_tiny(plan=plan, epochs=1, output=tmp_path / name) for name in "ab")
    assert_same(first, second)
    other = run_tiny(plan=plan, epochs=1, seed=1, output=tmp_path / "c")
    ours, others = (RunDirectory(run.path).adapter_path for run in (first, other))
    tensors = [load_file(next(path.rglob("*.safetensors"))) for path in (ours, others)]
    assert tensors[0].keys() == tensors[1].keys()
    assert any(not tensors[0][name].equal(tensors[1][name]) for name in tensors[0])


class TestManifest:
    """``run.json`` of a finished run."""

    @pytest.fixture
    def content(self, finished: Run) -> dict[str, Any]:
        return json.loads((finished.path / "run.json").read_text(encoding="utf-8"))

    def test_it_has_every_field(self, content: dict[str, Any]) -> None:
        assert content["schema"] == "adapterkit.run.v1"
        assert content["status"] == "finished"
        assert content["task"] == "bc5cdr"
        assert content["plan"] == f"0-{STEPS - 1}:adapter(double_seq_bn,r=12)"
        assert content["seed"] == 0
        assert content["sample"] is False
        ledger = {"backbone", "layerwise", "task", "head", "trainable", "shipped_bytes"}
        assert all(content["ledger"][name] > 0 for name in ledger)
        for split in ("dev", "test"):
            assert {"precision", "recall", "f1", "score"} <= content["metrics"][split].keys()
            assert content["metrics"][split]["per_type"].keys() == {"Chemical", "Disease"}
        assert content["timings"].keys() >= {"train_seconds", "evaluate_seconds", "cache_seconds"}
        assert content["timings"]["train_seconds"] > 0
        assert content["memory"]["peak_bytes"] > 10_000_000
        assert {"adapterkit", "torch", "adapters", "transformers"} <= content["versions"].keys()
        assert content["hardware"]

    def test_it_names_its_inputs(
        self, content: dict[str, Any], corpus: Path, backbone: Path
    ) -> None:
        assert content["data"]["source"] == "dir"
        assert content["data"]["location"] == str(corpus)
        for split, count in (("train", 32), ("dev", 12), ("test", 12)):
            sha256 = sha256_file(corpus / f"{split}.tsv")
            assert content["data"]["splits"][split] == {"sha256": sha256, "examples": count}
        assert content["backbone"]["id"] == str(backbone)
        assert content["backbone"]["fingerprint"].startswith("sha256:")
        chosen = content["hyperparameters"]
        assert (chosen["epochs"], chosen["batch_tokens"]) == (2, 40)
        assert chosen["learning_rates"] == dict.fromkeys(LEARNING_RATES, 3e-2)

    def test_it_learned_something(self, content: dict[str, Any]) -> None:
        assert content["metrics"]["dev"]["f1"] > 0.1

    def test_the_ledger_is_what_is_shipped(self, finished: Run) -> None:
        files = (finished.path / "adapter").rglob("*.safetensors")
        shipped = sum(t.nbytes for file in files for t in load_file(file).values())
        assert shipped == finished.ledger.shipped_bytes

    def test_the_object_and_the_file_are_the_same(self, finished: Run) -> None:
        assert Run.load(finished.path) == finished

    def test_the_log_tells_the_course(self, finished: Run) -> None:
        records = RunDirectory(finished.path).read_log()
        assert records[0]["event"] == "start"
        assert (
            0
            <= records[0]["padding"]
            == pytest.approx(
                json.loads((finished.path / "run.json").read_text())["padding_share"], abs=1e-4
            )
        )
        scores = [record["eval_score"] for record in records if "eval_score" in record]
        assert len(scores) == 2
        assert max(scores) == finished.metrics["dev"]["score"]


def test_predictions_hold_every_example(finished: Run, corpus: Path) -> None:
    lines = (finished.path / "predictions" / "test.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 12
    gold = sum(len(record["gold"]) for record in records)
    assert gold == (corpus / "test.tsv").read_text().count("\tB-")
    matching = sum(span in record["gold"] for record in records for span in record["predicted"])
    assert matching / gold == pytest.approx(finished.metrics["test"]["recall"])
    assert records[0]["document"] == "test-0"


@pytest.mark.parametrize(
    ("task", "form", "measure"),
    [
        (SINGLE, "tsv", "accuracy"),
        (SINGLE, "jsonl", "accuracy"),
        (SEVERAL, "jsonl", "micro_f1"),
    ],
)
def test_texts_of_ones_own(
    task: dict[str, Any], form: str, measure: str, run_tiny: RunTiny, tmp_path: Path
) -> None:
    own = write_texts(tmp_path / "data", task, form)
    # Whether a random backbone shows its first token the words is chance: the bundled one does.
    run = run_tiny(
        task=own, backbone="bundled", data="auto", learning_rate=None, output=tmp_path / "run"
    )
    assert run.manifest.task == "own"
    assert run.manifest.labels == tuple(task["labels"])
    assert run.metrics["test"]["score"] == run.metrics["test"][measure]
    assert run.metrics["dev"]["score"] > 0.5
    assert run.manifest.hyperparameters["learning_rates"]["head"] == 1e-2
    lines = (run.path / "predictions" / "test.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    if task is SINGLE:
        right = sum(record["gold"] == record["predicted"] for record in records)
        assert right / 12 == pytest.approx(run.metrics["test"]["accuracy"])
    assert all(set(record["predicted"]) <= set(task["labels"]) for record in records)


def test_an_abstract_corpus_with_many_labels(run_tiny: RunTiny, tmp_path: Path) -> None:
    run = run_tiny(
        task="hoc", data="sample", epochs=1, limit_train=8, batch_tokens=None, output=tmp_path / "r"
    )
    assert run.manifest.sample
    assert len(run.manifest.labels) == 10
    assert {"score", "micro_f1", "example_f1", "macro_f1"} <= run.metrics["test"].keys()
    assert any("texts cut to fit 64" in note for note in run.manifest.notes)


def long_sentence(words: int) -> str:
    """A CoNLL sentence every third word of which is a chemical."""
    rows = []
    for number in range(words // 3):
        rows += [f"{OTHERS[number % 9]}\tO", f"{OTHERS[number % 7]}\tO"]
        rows += [f"{CHEMICALS[number % 4]}\tB-Chemical"]
    return "\n".join(rows) + "\n"


def test_every_mention_of_a_long_sentence_is_scored(run_tiny: RunTiny, tmp_path: Path) -> None:
    data = write_corpus(tmp_path / "data")
    for split, words in (("train", 900), ("test", 3000)):
        (data / f"{split}.tsv").write_text(long_sentence(words))
        (data / f"{split}.docids").write_text("long\n")
    rate = {"plan": "full", "learning_rate": 3e-3, "batch_tokens": 64}
    run = run_tiny(data=data, epochs=4, **rate, output=tmp_path / "run")
    assert run.metrics["test"]["per_type"]["Chemical"]["support"] == 1000
    (line,) = (run.path / "predictions" / "test.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert len(record["words"]) == 3000
    assert len(record["gold"]) == 1000
    assert run.metrics["test"]["recall"] > 0.5
    again = evaluate_run(run.path)
    assert again["metrics"] == run.metrics["test"]
    assert again["data"]["examples"] == 1


def test_nlpies_protocol_scores_pieces(run_tiny: RunTiny, tmp_path: Path) -> None:
    run = run_tiny(protocol="nlpie", epochs=1, output=tmp_path / "run")
    assert run.manifest.protocol == "nlpie"
    assert run.metrics["test"]["metric"] == "lenient_piece_f1"
    assert "lenient_f1" not in run.metrics["test"]


def test_training_on_the_first_examples(run_tiny: RunTiny, tmp_path: Path) -> None:
    run = run_tiny(limit_train=5, epochs=1, output=tmp_path / "run")
    examples = {name: split.examples for name, split in run.manifest.data.splits.items()}
    assert examples == {"train": 5, "dev": 12, "test": 12}
    assert run.manifest.hyperparameters["limit_train"] == 5
    assert any("first 5 examples" in note for note in run.manifest.notes)

    short = write_corpus(tmp_path / "short")
    sentences = (short / "train.tsv").read_text().split("\n\n")
    (short / "train.tsv").write_text("\n\n".join(sentences[:5]) + "\n")
    (short / "train.docids").unlink()
    same = run_tiny(data=short, epochs=1, output=tmp_path / "same")
    assert _adapter(run) == _adapter(same)
    more = run_tiny(limit_train=500, epochs=1, output=tmp_path / "more")
    assert more.manifest.data.splits["train"].examples == 32


@pytest.mark.parametrize("plan", ["adapter", f"0-{STEPS - 2}:frozen {STEPS - 1}:adapter"])
def test_choosing_the_epoch_by_the_first_examples(
    plan: str, run_tiny: RunTiny, tmp_path: Path
) -> None:
    run = run_tiny(plan=plan, limit_dev=4, epochs=3, output=tmp_path / "run")
    examples = {name: split.examples for name, split in run.manifest.data.splits.items()}
    assert examples == {"train": 32, "dev": 4, "test": 12}
    assert run.manifest.hyperparameters["limit_dev"] == 4
    assert any("first 4 examples" in note for note in run.manifest.notes)
    assert max(_dev_scores(run)) == run.metrics["dev"]["score"]

    short = write_corpus(tmp_path / "short")
    sentences = (short / "dev.tsv").read_text().split("\n\n")
    (short / "dev.tsv").write_text("\n\n".join(sentences[:4]) + "\n")
    (short / "dev.docids").unlink()
    same = run_tiny(plan=plan, data=short, epochs=3, output=tmp_path / "same")
    assert _adapter(run) == _adapter(same)
    assert _dev_scores(run) == _dev_scores(same)
    assert run.metrics == same.metrics


def test_patience_ends_training_and_keeps_the_best(run_tiny: RunTiny, tmp_path: Path) -> None:
    run = run_tiny(epochs=40, patience=1, plan="lora", output=tmp_path / "run")
    scores = _dev_scores(run)
    assert 2 <= len(scores) < 40
    assert scores[-1] <= max(scores[:-1]) == run.metrics["dev"]["score"]
    assert all(later > earlier for earlier, later in itertools.pairwise(scores[:-1]))


def test_a_run_has_a_name_of_its_own(
    run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (run_tiny(plan="head", epochs=1, limit_train=4) for _ in range(2))
    assert first.path == Path("runs") / "bc5cdr-head-s0"
    assert second.path == Path("runs") / "bc5cdr-head-s0-2"


def test_progress_is_told(run_tiny: RunTiny, tmp_path: Path) -> None:
    heard: dict[str, list[int]] = {}
    totals: dict[str, int | None] = {}

    class Ear(Silence):
        def begin(self, phase: str, total: int | None = None) -> None:
            heard[phase], totals[phase] = [], total

        def advance(self, units: int = 1, **measures: float) -> None:
            heard[[*heard][-1]].append(units)

    run_tiny(epochs=1, output=tmp_path / "run", progress=Ear())
    phases = ["reading data", "loading the backbone", "training", "scoring dev", "scoring test"]
    assert [*heard] == phases
    assert all(sum(heard[phase]) == totals[phase] > 0 for phase in phases[2:])


def _dev_scores(run: Run) -> list[float]:
    """The dev score after each epoch."""
    records = RunDirectory(run.path).read_log()
    return [record["eval_score"] for record in records if "eval_score" in record]


def _adapter(run: Run) -> dict[str, bytes]:
    files = learned(run.path).items()
    return {name: content for name, content in files if name.endswith(".safetensors")}
