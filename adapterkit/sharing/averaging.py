"""The mean of what runs of one plan and backbone saved, tensor by tensor."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from adapterkit.backbones.tensors import (
    compare_shapes,
    read_safetensors,
    shapes_of,
    write_safetensors,
)
from adapterkit.runs.errors import UserError
from adapterkit.sharing.layout import is_tensor_file


def average_folders(folders: Sequence[Path], target: Path) -> None:
    """Write the mean of saved adapters into an empty folder.

    Sums are taken in float64 and in the order given, so that they are the same everywhere.

    Args:
        folders: Folders that `adapterkit.plans.saving.save_adapted` wrote.
        target: An empty folder. Everything but tensors is that of the first one.

    Raises:
        UserError: They do not hold the same tensors.
    """
    first = _content(folders[0])
    for folder in folders[1:]:
        if (found := _content(folder)) != first:
            raise UserError(
                "The adapters are not made of the same files.",
                where=str(folder),
                found=", ".join(found),
                allowed=", ".join(first),
            )
    for name in first:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_tensor_file(name):
            write_safetensors(path, _mean([folder / name for folder in folders]))
        else:
            shutil.copyfile(folders[0] / name, path)


def _mean(paths: Sequence[Path]) -> dict[str, torch.Tensor]:
    first = read_safetensors(paths[0])
    sums = {name: tensor.double() for name, tensor in first.items()}
    for path in paths[1:]:
        tensors = read_safetensors(path)
        compare_shapes(path, shapes_of(tensors), shapes_of(first))
        for name, tensor in tensors.items():
            sums[name] += tensor.double()
    return {name: (total / len(paths)).to(first[name].dtype) for name, total in sums.items()}


def _content(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
