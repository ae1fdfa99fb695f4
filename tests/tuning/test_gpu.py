"""What a GPU computes is what a processor computes, but for how sums are ordered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adapterkit.backbones.unpadding import Unpadding
from adapterkit.serving.predictor import load_adapter
from adapterkit.tuning.evaluation import predict_logits
from adapterkit.tuning.reloading import load_run
from adapterkit.tuning.rescoring import read_split
from adapterkit.tuning.run import Run
from adapterkit.tuning.settings import Precision

from .conftest import RunTiny, evaluate_run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
PLANS = ("adapter", "0-1:frozen 2:full", "0-1:frozen 2:prefix_tuning", "loreft", "side")


@pytest.fixture(scope="module", params=["float32", "bf16"])
def precision(request: pytest.FixtureRequest) -> Precision:
    return request.param


@pytest.mark.parametrize("plan", PLANS)
def test_a_run_trained_there_predicts_the_same_here(
    plan: str, precision: Precision, run_tiny: RunTiny, tmp_path: Path
) -> None:
    run: Run = run_tiny(plan=plan, precision=precision, output=tmp_path / "run")
    loaded = load_run(run.path)
    split = read_split(loaded, "test").split
    found = []
    for device in ("cpu", "cuda"):
        loaded.applied.model.to(device)
        found.append(
            torch.cat([torch.from_numpy(r) for r in predict_logits(loaded.applied.model, split)])
        )
    assert torch.allclose(*found, rtol=0, atol=2e-3)
    assert evaluate_run(run.path)["metrics"]["score"] == pytest.approx(
        run.metrics["test"]["score"], abs=0.02
    )


def test_text_is_read_on_the_gpu(finished: Run) -> None:
    predictor = load_adapter(finished.path)
    assert predictor._run.applied.model.device.type == "cuda"
    assert len(predictor.predict(["Aspirin caused asthma."])) == 1


def test_padding_is_left_out_there(
    run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []
    row = Unpadding.row

    def counted(self: Unpadding, states: torch.Tensor) -> torch.Tensor:
        pieces.append(len(self.kept))
        return row(self, states)

    monkeypatch.setattr(Unpadding, "row", counted)
    run_tiny(output=tmp_path / "run", epochs=1)
    assert pieces
