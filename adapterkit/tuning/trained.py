"""The tensors that training changes, as a file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.plans.parts import stored_tensors
from adapterkit.runs.atomic import write_bytes
from adapterkit.runs.errors import UserError

TRAINED_FILE = "trained.safetensors"


def trained_tensors(model: RecursiveAdapterModel) -> dict[str, torch.Tensor]:
    """Every tensor that learns, once."""
    stored = stored_tensors(model)
    return {name: tensor.detach() for name, tensor in stored.items() if tensor.requires_grad}


def save_trained(model: RecursiveAdapterModel, folder: Path) -> None:
    """Write the learning tensors into `folder`."""
    tensors = {name: t.contiguous().cpu() for name, t in trained_tensors(model).items()}
    write_bytes(folder / TRAINED_FILE, save(tensors))


def load_trained(model: RecursiveAdapterModel, folder: Path) -> None:
    """Read them back, strictly.

    Raises:
        UserError: If the file is damaged or is not of this plan.
    """
    path = folder / TRAINED_FILE
    expected = trained_tensors(model)
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            "the checkpoint cannot be read", where=str(path), found=str(error)
        ) from error
    wrong = sorted(
        (expected.keys() ^ found.keys())
        | {n for n in expected.keys() & found.keys() if expected[n].shape != found[n].shape}
    )
    if wrong:
        raise UserError(
            "the checkpoint is not of this plan and backbone",
            where=str(path),
            found=", ".join(wrong[:3]),
            hint="resume with the options the run was started with, or start anew",
        )
    with torch.no_grad():
        for name, tensor in found.items():
            expected[name].copy_(tensor)
