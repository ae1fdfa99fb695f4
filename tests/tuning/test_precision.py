"""``--precision bf16``: what a run trained in bfloat16 is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from adapterkit.backbones.unpadding import Unpadding
from adapterkit.runs.errors import UserError
from adapterkit.runs.interruption import Interrupted
from adapterkit.tuning.run import Run
from adapterkit.tuning.tune import resume_run

from .conftest import RunTiny, assert_same, evaluate_run, learned
from .test_resuming import StopAt

PLAN = "0:frozen 1-2:adapter"


@pytest.fixture(scope="module")
def lowered(run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("lowered") / "run"
    return run_tiny(plan=PLAN, precision="bf16", output=output)


def loss_of(run: Run) -> float:
    """The mean loss of a run's first updates, as it was logged."""
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    loss: float = next(line["loss"] for line in lines if "loss" in line)
    return loss


def test_it_is_another_run_that_learns_as_well(
    lowered: Run, run_tiny: RunTiny, tmp_path: Path
) -> None:
    exact = run_tiny(plan=PLAN, output=tmp_path / "run")
    assert lowered.manifest.hyperparameters["precision"] == "bf16"
    assert exact.manifest.hyperparameters["precision"] == "float32"
    assert learned(lowered.path) != learned(exact.path)
    # Dropout draws other numbers where padding is left out, and few entities are scored.
    assert loss_of(lowered) == pytest.approx(loss_of(exact), rel=0.05)


def test_it_is_scored_in_float32(lowered: Run) -> None:
    assert evaluate_run(lowered.path)["metrics"] == lowered.metrics["test"]


def test_kept_states_change_nothing(lowered: Run, run_tiny: RunTiny, tmp_path: Path) -> None:
    assert lowered.manifest.model_extra["prefix"]["steps"] == 1
    again = run_tiny(plan=PLAN, precision="bf16", prefix_cache="off", output=tmp_path / "run")
    assert again.metrics["test"]["score"] == pytest.approx(
        lowered.metrics["test"]["score"], abs=0.02
    )


def test_stopped_and_resumed_it_ends_the_same(
    lowered: Run, run_tiny: RunTiny, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        run_tiny(
            plan=PLAN, precision="bf16", output=tmp_path / "run", progress=StopAt("training", 9)
        )
    assert_same(resume_run(tmp_path / "run"), lowered)


def test_training_computes_few_shapes_and_scoring_as_ever(
    run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: set[int] = set()
    row = Unpadding.row

    def seen(self: Unpadding, states: torch.Tensor) -> torch.Tensor:
        assert not torch.is_inference_mode_enabled()
        made = row(self, states)
        lengths.add(made.shape[1])
        return made

    monkeypatch.setattr(Unpadding, "row", seen)
    run_tiny(plan=PLAN, precision="bf16", epochs=1, output=tmp_path / "lowered")
    assert lengths <= {64, 128, 192, 256, 320, 384, 448, 512}
    assert lengths
    lengths.clear()
    run_tiny(plan=PLAN, epochs=1, output=tmp_path / "exact")
    assert not lengths


def test_other_precisions_are_refused(run_tiny: RunTiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="precision") as caught:
        run_tiny(precision="fp16", output=tmp_path / "run")
    assert caught.value.where == "--precision"
    assert caught.value.allowed == "float32, bf16"
    assert not (tmp_path / "run").exists()
