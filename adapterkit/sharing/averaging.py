"""Weighted sums of saved adapters of one plan and backbone, tensor by tensor."""

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
from adapterkit.sharing.layout import CARD_FILE, UNLISTED, is_tensor_file


def average_folders(folders: Sequence[Path], target: Path) -> None:
    """Write the mean of saved adapters; see `combine_folders`."""
    combine_folders(folders, [1 / len(folders)] * len(folders), target)


def combine_folders(folders: Sequence[Path], weights: Sequence[float], target: Path) -> None:
    """Write the sum of saved adapters, each times its weight, into an empty folder.

    Sums are taken in float64 and in the order given, so that they are the same everywhere.

    Args:
        folders: Folders that `adapterkit.plans.saving.save_adapted` wrote, or packages.
        weights: One for each; for a mean they add up to 1.
        target: An empty folder. Everything but tensors is that of the first one.

    Raises:
        UserError: They do not hold the same tensors.
    """
    first = _content(folders[0])
    for folder in folders[1:]:
        if (found := set(_content(folder))) != set(first):
            raise UserError(
                "The adapters are not made of the same files.",
                where=str(folder),
                found=", ".join(sorted(found)),
                allowed=", ".join(sorted(first)),
            )
    for name in first:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_tensor_file(name):
            write_safetensors(path, _combined([folder / name for folder in folders], weights))
        else:
            shutil.copyfile(folders[0] / name, path)


def _combined(paths: Sequence[Path], weights: Sequence[float]) -> dict[str, torch.Tensor]:
    first = read_safetensors(paths[0])
    sums = {name: weights[0] * tensor.double() for name, tensor in first.items()}
    for path, weight in zip(paths[1:], weights[1:], strict=True):
        tensors = read_safetensors(path)
        compare_shapes(path, shapes_of(tensors), shapes_of(first))
        for name, tensor in tensors.items():
            sums[name] += weight * tensor.double()
    return {name: total.to(first[name].dtype) for name, total in sums.items()}


def _content(folder: Path) -> list[str]:
    """What makes up the adapted model: not what a package says about itself."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in (*UNLISTED, CARD_FILE))
