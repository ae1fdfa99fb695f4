"""Reading the weights file of a checkpoint from outside, be it safetensors or a pickle."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch

from adapterkit.backbones.folder_layout import CHECKPOINT_FILES
from adapterkit.backbones.safety import read_json
from adapterkit.backbones.tensors import read_safetensors, unreadable
from adapterkit.runs.errors import UserError

INDEX_FILES = tuple(f"{name}.index.json" for name in CHECKPOINT_FILES)
"""Names of the index of weights that are spread over several files."""


def find_weights(directory: Path) -> Path:
    """The weights file in `directory`, or the index of several.

    Raises:
        UserError: There is none.
    """
    for name in (*CHECKPOINT_FILES, *INDEX_FILES):
        if (directory / name).is_file():
            return directory / name
    raise UserError(
        "The folder holds no weights.", where=str(directory), allowed=" or ".join(CHECKPOINT_FILES)
    )


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a weights file, or of the files an index lists.

    A pickle is read by PyTorch's restricted unpickler, which builds tensors and runs no code.

    Raises:
        UserError: A file is damaged, or holds anything but named tensors.
    """
    if path.name in INDEX_FILES:
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    return _read_pickle(path)


def _read_shards(index: Path) -> dict[str, torch.Tensor]:
    listed = read_json(index).get("weight_map")
    ending = Path(index.name.removesuffix(".index.json")).suffix
    if not isinstance(listed, dict) or not all(
        isinstance(file, str) and file == Path(file).name and file.endswith(ending)
        for file in listed.values()
    ):
        raise UserError(
            "The index of the weights cannot be used.",
            where=f"{index}: weight_map",
            allowed=f"for each tensor a {ending} file beside the index",
        )
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(set(listed.values())):
        path = index.parent / file
        found = read_weights(path)
        stated = {name for name, holder in listed.items() if holder == file}
        if found.keys() != stated:
            raise UserError(
                "The weights file does not hold what the index says.",
                where=str(path),
                found=", ".join(sorted(found.keys() ^ stated)[:5]),
            )
        tensors |= found
    return tensors


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
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
    for name, value in state.items():
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise UserError(
                "A tensor is not stored as plain numbers.",
                where=f"{path}: {name[:150]}",
                found=f"{value.layout}, {value.dtype}, on {value.device}",
                allowed="dense tensors of floating-point numbers",
            )
    # A pickled tensor may claim any shape over one stored number.
    if sum(value.numel() for value in state.values()) > path.stat().st_size:
        raise UserError("The weights file claims more numbers than it holds.", where=str(path))
    return dict(state)
