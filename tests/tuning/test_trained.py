"""The learning tensors as a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterkit.plans.ledger import ledger
from adapterkit.runs.errors import UserError
from adapterkit.tuning.trained import TRAINED_FILE, load_trained, save_trained, trained_tensors

from .test_optimiser import applied_to

PLANS = ("adapter", "lora", "krona", "adakron", "layerwise", "full", "0-1:frozen 2:untied", "head")


@pytest.mark.parametrize("plan", PLANS)
def test_what_learns_is_saved_once_and_comes_back(
    plan: str, backbone: Path, tmp_path: Path
) -> None:
    applied = applied_to(backbone, plan)
    model = applied.model
    with torch.no_grad():
        for tensor in trained_tensors(model).values():
            tensor.normal_()
    wanted = {name: tensor.clone() for name, tensor in trained_tensors(model).items()}
    save_trained(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [TRAINED_FILE]
    saved = load_file(tmp_path / TRAINED_FILE)
    assert sum(tensor.numel() for tensor in saved.values()) == ledger(applied).trainable

    other = applied_to(backbone, plan).model
    frozen = {n: p.clone() for n, p in other.named_parameters() if not p.requires_grad}
    ties = len({p.data_ptr() for p in other.parameters()})
    load_trained(other, tmp_path)
    assert all(torch.equal(t, wanted[name]) for name, t in trained_tensors(other).items())
    assert all(torch.equal(p, frozen[n]) for n, p in other.named_parameters() if n in frozen)
    assert len({p.data_ptr() for p in other.parameters()}) == ties


def test_of_another_plan(backbone: Path, tmp_path: Path) -> None:
    save_trained(applied_to(backbone, "lora").model, tmp_path)
    with pytest.raises(UserError, match="not of this plan") as error:
        load_trained(applied_to(backbone, "adapter").model, tmp_path)
    assert error.value.where == str(tmp_path / TRAINED_FILE)


def test_of_another_shape(backbone: Path, tmp_path: Path) -> None:
    model = applied_to(backbone, "adapter").model
    save_trained(model, tmp_path)
    tensors = load_file(tmp_path / TRAINED_FILE)
    name = min(tensors)
    save_file({**tensors, name: torch.zeros(3)}, tmp_path / TRAINED_FILE)
    with pytest.raises(UserError, match="not of this plan") as error:
        load_trained(model, tmp_path)
    assert error.value.found == name


@pytest.mark.parametrize("content", [None, b"", b"half of a fi"])
def test_missing_or_cut_short(content: bytes | None, backbone: Path, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / TRAINED_FILE).write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load_trained(applied_to(backbone, "head").model, tmp_path)
