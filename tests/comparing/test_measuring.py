"""Timing the inference of a run."""

import json
from pathlib import Path

import pytest

from adapterkit.comparing.measuring import main, measure
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.tuning.tune import tune
from tests.tuning.conftest import make_backbone, write_corpus


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    corpus = write_corpus(folder / "corpus")
    backbone = make_backbone(folder / "backbone")
    return tune(
        "bc5cdr", "lora", backbone=backbone, data=corpus, epochs=1, output=folder / "run"
    ).path


def files(run: Path):
    return {path: sha256_file(path) for path in run.rglob("*") if path.is_file()}


def test_what_is_measured_is_written_beside_the_run(run):
    before = files(run)
    assert main([str(run), "--threads", "1", "--texts", "5"]) == 0
    found = json.loads((run / "inference.json").read_text())
    assert 0 < found["p50_ms"] <= found["p95_ms"]
    assert found["tokens_per_second"] > 0
    assert (found["batch_tokens"], found["threads"], found["texts"]) == (4096, 1, 5)
    assert found["peak_bytes"] > 50_000_000
    assert {path: sha for path, sha in files(run).items() if path in before} == before


def test_the_model_is_what_is_measured(run, monkeypatch):
    import time

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel

    forward = RecursiveAdapterModel.forward

    def slow(self, *arguments, **named):
        time.sleep(0.2)
        return forward(self, *arguments, **named)

    monkeypatch.setattr(RecursiveAdapterModel, "forward", slow)
    measured = measure(run, texts=3)
    assert measured.p50_ms > 200
    assert measured.tokens_per_second < measured.pieces / 0.2


def test_what_is_no_run_is_told(tmp_path, run, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err
    with pytest.raises(UserError):
        measure(tmp_path)
