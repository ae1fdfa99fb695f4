import json

import pytest
from pydantic import ValidationError

from adapterkit.runs import manifest as manifests
from adapterkit.runs.errors import UserError
from adapterkit.runs.manifest import RunManifest

CONTENT = {
    "schema": "adapterkit.run.v1",
    "status": "finished",
    "created": "2025-01-02T03:04:05Z",
    "command": "adapterkit tune --task bc5cdr --mode adapter",
    "task": "bc5cdr",
    "labels": ["Chemical", "Disease"],
    "plan": "0-5:adapter",
    "seed": 0,
    "protocol": "word",
    "sample": False,
    "data": {
        "source": "dir",
        "location": "data/bc5cdr",
        "splits": {"test": {"sha256": "00ff", "examples": 3}},
    },
    "backbone": {"id": "bundled", "fingerprint": "sha256:00"},
    "ledger": {
        "backbone": 10,
        "layerwise": 2,
        "task": 3,
        "head": 1,
        "trainable": 4,
        "shipped_bytes": 16,
    },
    "hyperparameters": {"epochs": 3, "learning_rate": 1e-4},
    "metrics": {
        "dev": {"precision": 0.1, "recall": 0.2, "f1": 1 / 7, "per_type": {}, "score": 1 / 7},
        "test": {"f1": 0.2, "score": 0.2, "macro_f1": 0.3},
    },
    "timings": {"train_seconds": 1.5, "evaluate_seconds": 0.5, "cache_seconds": 0.0},
    "memory": {"peak_bytes": 1000},
    "versions": {"python": "3.11.0"},
    "hardware": {"cpu": "x", "cores": 2},
    "notes": [],
}


def changed(**changes):
    return {**CONTENT, **changes}


def test_a_manifest_survives_the_disk(tmp_path):
    manifest = RunManifest.model_validate(CONTENT)
    manifests.save(manifest, tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text()) == CONTENT
    assert manifests.load(tmp_path) == manifest
    assert manifests.load(tmp_path / "run.json").metrics["dev"]["f1"] == 1 / 7


def test_added_fields_are_kept(tmp_path):
    manifest = RunManifest.model_validate(changed(latency={"p50": 1.0}))
    manifests.save(manifest, tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text())["latency"] == {"p50": 1.0}


def test_schema_needs_not_be_given():
    content = changed()
    del content["schema"]
    assert RunManifest.model_validate(content).as_dict()["schema"] == "adapterkit.run.v1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": {"dev": {"f1": 1.0}, "test": {"score": 1}}}, "metrics.dev has no number"),
        ({"metrics": {"dev": {"score": 1.0}}}, "has metrics.dev and metrics.test"),
        ({"sample": True}, "contradict"),
        ({"status": "great"}, "status"),
        ({"ledger": {**CONTENT["ledger"], "task": -1}}, "ledger.task"),
    ],
)
def test_contradictions_are_refused(change, words):
    with pytest.raises(ValidationError, match=words):
        RunManifest.model_validate(changed(**change))


def test_an_unfinished_run_may_lack_scores():
    manifest = RunManifest.model_validate(changed(status="interrupted", metrics={}))
    assert manifest.metrics == {}


@pytest.mark.parametrize("below", ["", "run.json", "nowhere", "nowhere/run.json"])
def test_missing(tmp_path, below):
    with pytest.raises(UserError, match="no finished run here"):
        manifests.load(tmp_path / below)


def test_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="no finished run here"):
        manifests.load(tmp_path / "file" / "run.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not JSON"),
        (json.dumps(CONTENT)[:200].encode(), "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[1, 2]", "a JSON list"),
        (json.dumps({**CONTENT, "seed": "many"}).encode(), "seed"),
        (json.dumps({k: v for k, v in CONTENT.items() if k != "ledger"}).encode(), "ledger"),
    ],
)
def test_corrupt(tmp_path, text, words):
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(UserError, match="damaged") as caught:
        manifests.load(tmp_path)
    assert words in str(caught.value)
    assert str(tmp_path / "run.json") in str(caught.value)


@pytest.mark.parametrize("schema", ["adapterkit.run.v2", None])
def test_other_schema(tmp_path, schema):
    (tmp_path / "run.json").write_text(json.dumps(changed(schema=schema)))
    with pytest.raises(UserError, match="another schema") as caught:
        manifests.load(tmp_path)
    assert caught.value.found == str(schema)
    assert caught.value.allowed == "adapterkit.run.v1"
