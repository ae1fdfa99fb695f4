"""Reading the weights file of a checkpoint from outside, be it safetensors or a pickle."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch

from adapterkit.backbones.tensors import read_safetensors, unreadable
from adapterkit.runs.errors import UserError

WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names a weights file may have; the first one found is read."""


def find_weights(directory: Path) -> Path:
    """The weights file in `directory`.

    Raises:
        UserError: There is none.
    """
    for name in WEIGHTS_FILES:
        if (directory / name).is_file():
            return directory / name
    raise UserError(
        "The folder holds no weights.", where=str(directory), allowed=" or ".join(WEIGHTS_FILES)
    )


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a weights file.

    A pickle is read by PyTorch's restricted unpickler, which builds tensors and runs no code.

    Raises:
        UserError: The file is damaged, or holds anything but named tensors.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        AssertionError,
        IndexError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise unreadable(path, error) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise UserError(
            "The weights file holds something other than named tensors.", where=str(path)
        )
    # A pickled tensor may claim any shape over one stored number.
    if sum(value.numel() for value in state.values()) > path.stat().st_size:
        raise UserError("The weights file claims more numbers than it holds.", where=str(path))
    return dict(state)
