"""Backbones whose matrices are factors are tuned, resumed, packed and pulled like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.pruned import masks_of, parameter_count
from adapterkit.backbones.saving import save_backbone
from adapterkit.runs.interruption import Interrupted
from adapterkit.students.compressing import compress
from adapterkit.students.compression import METHODS, Compression
from adapterkit.tuning.run import Run
from adapterkit.tuning.tune import resume_run
from tests.tuning.conftest import STEPS, assert_same, make_backbone
from tests.tuning.test_resuming import StopAt

from .conftest import RunTiny
from .test_every_mechanism import check

PLANS = ("adapter", "lora", "full")


@pytest.fixture(scope="session")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a compressed backbone by its method."""
    folder = tmp_path_factory.mktemp("compressed")
    dense = make_backbone(
        folder / "dense",
        layerwise=False,
        embedding_size=32,
        embedding_projection=False,
        block_of_step=list(range(STEPS)),
    )
    source = load_backbone(dense)
    for method in METHODS:
        made = compress(source, Compression(method, 0.5))  # type: ignore[arg-type]
        save_backbone(made.model, source.tokenizer, folder / method, card={"name": method})
    return {method: folder / method for method in METHODS}


def runner(run_tiny: RunTiny, backbone: Path) -> RunTiny:
    def run(**changes: Any) -> Run:
        return run_tiny(**{**changes, "backbone": backbone})

    return run


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("method", METHODS)
def test_packages_predict_the_same_bits(
    compressed: dict[str, Path],
    method: str,
    plan: str,
    run_tiny: RunTiny,
    corpus: Path,
    tmp_path: Path,
) -> None:
    backbone = compressed[method]
    check(plan, runner(run_tiny, backbone), backbone, corpus, tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_ends_as_one_that_was_not_stopped(
    compressed: dict[str, Path], method: str, run_tiny: RunTiny, tmp_path: Path
) -> None:
    run = runner(run_tiny, compressed[method])
    whole = run(plan="full", output=tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(plan="full", output=tmp_path / "stopped", progress=StopAt("training", 4))
    assert_same(resume_run(tmp_path / "stopped"), whole)


def test_full_fine_tuning_keeps_what_is_pruned_at_zero(
    compressed: dict[str, Path], run_tiny: RunTiny, tmp_path: Path
) -> None:
    backbone = compressed["lada"]
    run = runner(run_tiny, backbone)(plan="full", output=tmp_path / "run")
    stored = load_file(run.path / "adapter" / "weights.safetensors")
    pruned = load_backbone(backbone).model
    for name, mask in masks_of(pruned).items():
        found = stored[f"albert.{name}"]
        assert not found[~mask].any()
        assert not torch.equal(found, pruned.albert.get_parameter(name))
    ledger = run.manifest.ledger
    assert ledger.backbone == parameter_count(pruned)
    assert ledger.trainable == ledger.backbone + ledger.head
