from __future__ import annotations

import json

import pytest

from adapterkit.runs import manifest as manifests
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.manifest import RunManifest
from adapterkit.runs.sealing import broken_seal, digest, sealed
from tests.runs.test_manifest import CONTENT


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    for name in ("adapter/head/weights.safetensors", "predictions/test.jsonl"):
        file = directory.path / name
        file.parent.mkdir(parents=True)
        file.write_bytes(name.encode())
    manifest = sealed(RunManifest.model_validate(CONTENT), directory)
    manifests.save(manifest, directory.manifest_path)
    return directory


def edit(run, **changes):
    content = json.loads(run.manifest_path.read_text())
    run.manifest_path.write_text(json.dumps({**content, **changes}))


def test_every_file_is_sealed_with_its_sum_and_size(run):
    files = manifests.load(run.path).files
    assert list(files) == ["adapter/head/weights.safetensors", "predictions/test.jsonl"]
    # printf 'predictions/test.jsonl' | sha256sum
    assert files["predictions/test.jsonl"].bytes == 22
    assert files["predictions/test.jsonl"].sha256 == (
        "37f4f000947bea5782f9fdb080fb69e50d76978222c488b9f4ac0c5bb3543890"
    )
    assert broken_seal(run) is None


def test_the_manifest_that_was_sealed_is_the_one_read_back(run):
    manifest = sealed(RunManifest.model_validate(CONTENT), run)
    assert manifests.load(run.path) == manifest
    assert manifest.digest == digest(json.loads(run.manifest_path.read_text()))


def test_the_digest_is_of_the_content_not_of_its_spelling(run):
    content = json.loads(run.manifest_path.read_text())
    turned = dict(reversed(content.items()))
    run.manifest_path.write_text(json.dumps(turned, indent=7))
    assert broken_seal(run) is None
    assert digest({"b": 1, "a": "é", "digest": "x"}) == (
        # printf '{"a":"é","b":1}' | sha256sum
        "aa58fba8483623bed37c1b02edfccbdd9a53123837c20bfa4cb4049993a2872e"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"metrics": {"dev": {"score": 0.5}, "test": {"score": 0.9}}},
        {"digest": "00"},
        {"digest": None},
        {"files": {}},
        {"added": True},
    ],
    ids=str,
)
def test_an_edited_manifest_is_noticed(run, change):
    edit(run, **change)
    assert broken_seal(run) == "run.json was changed after the run: it does not match its digest"


def test_a_manifest_without_its_digest_is_no_older_run(run):
    content = json.loads(run.manifest_path.read_text())
    del content["digest"]
    run.manifest_path.write_text(json.dumps(content))
    assert "run.json was changed" in broken_seal(run)


@pytest.mark.parametrize("text", ["prediction_/test.jsonl", "shorter", ""])
def test_a_changed_file_is_named(run, text):
    (run.predictions_path / "test.jsonl").write_text(text)
    assert broken_seal(run).startswith("predictions/test.jsonl was changed after the run: ")


def test_a_missing_and_an_added_file_are_named(run):
    (run.adapter_path / "more.bin").touch()
    assert broken_seal(run) == "adapter/more.bin was added after the run"
    (run.adapter_path / "head/weights.safetensors").unlink()
    assert broken_seal(run) == "adapter/head/weights.safetensors is missing"


def test_what_stands_beside_the_sealed_folders_is_free(run):
    (run.path / "inference.json").write_text("{}")
    (run.path / "log.jsonl").write_text("")
    assert broken_seal(run) is None


def test_a_run_from_before_seals_has_none_to_break(run):
    manifests.save(RunManifest.model_validate(CONTENT), run.manifest_path)
    (run.predictions_path / "test.jsonl").unlink()
    assert broken_seal(run) is None
