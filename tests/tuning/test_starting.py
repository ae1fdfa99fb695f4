"""Runs that start from what another one learned."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from adapterkit.plans.shipped import shipped_tensors
from adapterkit.runs.errors import UserError
from adapterkit.runs.progress import Silence
from adapterkit.tuning.prepare import prepare
from adapterkit.tuning.request import Request
from adapterkit.tuning.run import Run
from adapterkit.tuning.starting import adapted_digest

from .conftest import RunTiny, assert_same, write_texts


def test_it_begins_with_the_other_ones_weights(finished: Run, backbone: Path, corpus: Path) -> None:
    request = Request("bc5cdr", "adapter", str(backbone), str(corpus),
                      start_from=str(finished.path / "adapter"))  # fmt: skip
    prepared = prepare(request, Silence())
    found = shipped_tensors(prepared.applied)
    saved = {}
    for path in (finished.path / "adapter").rglob("*.safetensors"):
        saved |= load_file(path)
    assert set(saved) == set(found)
    assert all((saved[name] == found[name]).all() for name in saved)
    assert {n for n, p in prepared.applied.model.named_parameters() if p.requires_grad} == set(
        prepared.applied.trainable
    )


def test_it_goes_on_learning(finished: Run, run_tiny: RunTiny, tmp_path: Path) -> None:
    more = run_tiny(start_from=finished.path, epochs=1, learning_rate=1e-3, output=tmp_path / "run")
    assert more.manifest.metrics["dev"]["score"] >= finished.metrics["dev"]["score"] - 0.1
    assert more.manifest.model_extra is not None
    assert more.manifest.model_extra["start"] == {
        "sha256": adapted_digest(finished.path / "adapter")
    }


def test_other_labels_get_a_new_head(finished: Run, run_tiny: RunTiny, tmp_path: Path) -> None:
    labels = ["growth", "death", "invasion"]
    own = {"name": "own", "kind": "classification", "labels": labels}
    task = write_texts(tmp_path / "own", own, "jsonl")
    run = run_tiny(
        task=task, data=task.parent, start_from=finished.path, epochs=1, output=tmp_path / "run"
    )
    assert run.manifest.labels == tuple(labels)
    assert (run.path / "adapter" / "own" / "adapter.safetensors").is_file()


@pytest.mark.parametrize("plan", ["full", "0:frozen 1-2:lora", "0:krona 1-2:adakron", "side"])
def test_every_mechanism_goes_on(plan: str, run_tiny: RunTiny, tmp_path: Path) -> None:
    first = run_tiny(plan=plan, epochs=1, output=tmp_path / "first")
    again = run_tiny(plan=plan, epochs=1, start_from=first.path, output=tmp_path / "again")
    assert again.manifest.plan == first.manifest.plan


def test_it_is_resumed_to_the_same_bits(
    finished: Run, run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_tiny(start_from=finished.path, output=tmp_path / "whole")
    halves = {"start_from": finished.path, "output": tmp_path / "halves"}
    with monkeypatch.context() as patched:
        patched.setattr("adapterkit.tuning.tune.write_results", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(**halves)
    assert_same(run_tiny(**halves, resume=True), whole)


def _interrupt(*args: object) -> None:
    raise KeyboardInterrupt


def test_weights_that_changed_since_are_told(
    finished: Run, run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.path, tmp_path / "other")
    halves = {"start_from": tmp_path / "other", "output": tmp_path / "halves"}
    with monkeypatch.context() as patched:
        patched.setattr("adapterkit.tuning.tune.write_results", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(**halves)
    head = tmp_path / "other" / "adapter" / "head" / "model_head.safetensors"
    content = bytearray(head.read_bytes())
    content[-1] ^= 1
    head.write_bytes(content)
    with pytest.raises(UserError, match="weights it started from"):
        run_tiny(**halves, resume=True)


def test_another_plan_is_refused(finished: Run, run_tiny: RunTiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="weights of its own plan") as caught:
        run_tiny(plan="lora", start_from=finished.path, output=tmp_path / "run")
    assert finished.manifest.plan in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_another_backbone_is_refused(
    finished: Run, run_tiny: RunTiny, plain_backbone: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="another backbone"):
        run_tiny(backbone=plain_backbone, start_from=finished.path, output=tmp_path / "run")


def test_nothing_to_start_from(run_tiny: RunTiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to start from"):
        run_tiny(start_from=tmp_path, output=tmp_path / "run")
