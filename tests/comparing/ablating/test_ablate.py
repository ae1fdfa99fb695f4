"""Runs without each of their steps, and two runs mixed, scored from their directories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapterkit.comparing.ablating.ablate import ablate
from adapterkit.comparing.ablating.ablation import Ablation, read_ablation, save_ablation
from adapterkit.runs.errors import UserError
from adapterkit.tuning.run import Run
from tests.tuning.conftest import STEPS, RunTiny, make_backbone, write_texts
from tests.tuning.test_tune import SEVERAL, SINGLE

PLANS = (
    "0-1:seq_bn(r=4) 2:full",
    "prefix_tuning(prefix_length=3,bottleneck_size=8)",
    "full",
    "side(r=4)",
)


def same(ablation: Ablation, metrics: dict[str, Any]) -> bool:
    per_type = {name: figures["f1"] for name, figures in metrics["per_type"].items()}
    found = ablation.whole
    return (found.score, found.per_type) == (metrics["score"], per_type)


@pytest.mark.parametrize("plan", PLANS)
def test_with_every_step_the_score_is_the_runs(
    plan: str, run_tiny: RunTiny, tmp_path: Path
) -> None:
    run = run_tiny(plan=plan, epochs=1, output=tmp_path / "run")
    ablation = ablate(run.path)
    assert same(ablation, run.metrics["dev"])
    assert [step.step for step in ablation.steps] == list(range(STEPS))
    assert ablation.metric == run.metrics["dev"]["metric"]
    assert ablation.data["same_as_run"]


@pytest.mark.parametrize("task", [SINGLE, SEVERAL], ids=lambda task: task["kind"])
def test_texts(task: dict[str, Any], run_tiny: RunTiny, tmp_path: Path) -> None:
    own = write_texts(tmp_path / "data", task, "jsonl")
    run = run_tiny(task=own, data="auto", plan="layerwise", output=tmp_path / "run")
    assert same(ablate(run.path), run.metrics["dev"])


def test_nlpies_protocol(run_tiny: RunTiny, tmp_path: Path) -> None:
    run = run_tiny(protocol="nlpie", output=tmp_path / "run")
    ablation = ablate(run.path)
    assert same(ablation, run.metrics["dev"])
    assert ablation.metric == "lenient_piece_f1"


def test_frozen_steps_are_listed_without_a_score(run_tiny: RunTiny, tmp_path: Path) -> None:
    run = run_tiny(plan="0:frozen rest:lora", epochs=1, output=tmp_path / "run")
    first, *others = ablate(run.path).steps
    assert (first.mechanism, first.removed, first.result) == ("frozen", "nothing to remove", None)
    assert all(step.result is not None for step in others)


def test_two_runs_swapped_at_either_end_are_the_runs(
    finished: Run, run_tiny: RunTiny, tmp_path: Path
) -> None:
    other = run_tiny(plan="full", seed=5, output=tmp_path / "other")
    ablation = ablate(finished.path, other.path, split="test")
    assert same(ablation, finished.metrics["test"])
    assert any(step.result != ablation.whole for step in ablation.steps)
    assert ablation.swap is not None
    scores = [result.score for result in ablation.swap.results]
    assert len(scores) == STEPS + 1
    assert scores[0] == other.metrics["test"]["score"]
    assert scores[-1] == finished.metrics["test"]["score"]
    assert ablation.swap.other.seed == 5


def test_what_is_saved_is_read_again(finished: Run, tmp_path: Path) -> None:
    ablation = ablate(finished.path, finished.path)
    save_ablation(ablation, tmp_path / "ablation.json")
    assert read_ablation(tmp_path / "ablation.json") == ablation
    (tmp_path / "ablation.json").write_text('{"schema": "adapterkit.ablation.v0"}')
    with pytest.raises(UserError, match="damaged or of another format"):
        read_ablation(tmp_path / "ablation.json")


def test_nothing_learned_at_any_step(run_tiny: RunTiny, tmp_path: Path) -> None:
    run = run_tiny(plan="head", epochs=1, output=tmp_path / "run")
    with pytest.raises(UserError, match="only the head"):
        ablate(run.path)


def test_runs_that_cannot_be_mixed(finished: Run, run_tiny: RunTiny, tmp_path: Path) -> None:
    other = make_backbone(tmp_path / "other", seed=1)
    elsewhere = run_tiny(backbone=other, epochs=1, output=tmp_path / "elsewhere")
    with pytest.raises(UserError, match="backbone is not the same"):
        ablate(finished.path, elsewhere.path)
    beside = run_tiny(plan="side(r=4)", epochs=1, output=tmp_path / "beside")
    with pytest.raises(UserError, match="side path cannot be mixed"):
        ablate(finished.path, beside.path)
    pieces = run_tiny(protocol="nlpie", epochs=1, output=tmp_path / "pieces")
    with pytest.raises(UserError, match="protocol is not the same"):
        ablate(finished.path, pieces.path)


def test_changed_data_are_refused(run_tiny: RunTiny, corpus: Path, tmp_path: Path) -> None:
    own = tmp_path / "data"
    own.mkdir()
    for path in corpus.iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    run = run_tiny(data=own, epochs=1, output=tmp_path / "run")
    (own / "dev.tsv").write_text((own / "dev.tsv").read_text() + "\naspirin\tB-Chemical\n")
    with (own / "dev.docids").open("a") as file:
        file.write("dev-9\n")
    with pytest.raises(UserError, match="have changed"):
        ablate(run.path)
    assert not ablate(run.path, data=own).data["same_as_run"]
