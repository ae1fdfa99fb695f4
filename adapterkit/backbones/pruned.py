"""Pruned factors: what is kept of each, and how that is stored.

A pruned factor is a dense tensor in memory, with zeros that stay zero. In a file it is two: the
numbers that are kept, in order, and a bit for every entry that says whether it is one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adapterkit.backbones.canonical import base_of, canonical_shapes
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.factorised.modules import Factors
from adapterkit.backbones.factorised.pruning import pack, unpack
from adapterkit.runs.errors import UserError

VALUES, BITS = ".values", ".bits"
"""What is added to a factor's name for its numbers, and for the bits that place them."""

Masks = Mapping[str, torch.Tensor]


def prune_factors(model: nn.Module, masks: Masks) -> None:
    """Set entries of factors to zero for good, in every step that shares them.

    Args:
        model: A `RecursiveModel`, or a model with heads over one; its configuration says afterwards
            what is kept.
        masks: For each factor, under the name it is stored by, which entries are kept, of its
            shape. Those left out stay as they are.
    """
    base = base_of(model)
    by_parameter = {id(base.get_parameter(name)): mask for name, mask in masks.items()}
    for module in base.modules():
        if isinstance(module, Factors):
            for name, parameter in module.named_parameters():
                if id(parameter) in by_parameter:
                    module.prune(name, by_parameter[id(parameter)])
    base.config.pruned |= {name: int(mask.sum()) for name, mask in masks.items()}


def masks_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Which entries are kept of every pruned factor, by the name it is stored by."""
    base = base_of(model)
    return {name: _mask(base, name) for name in base.config.pruned}


def mask_of(base: nn.Module, parameter: str) -> torch.Tensor | None:
    """Which entries of a parameter are kept; None: it is not pruned."""
    path, _, name = parameter.rpartition(".")
    module = base.get_submodule(path)
    return module.mask(name) if isinstance(module, Factors) else None


def parameter_count(model: nn.Module) -> int:
    """How many numbers a model holds: shared ones once, pruned ones not at all."""
    kept = {
        id(parameter): int(mask.sum())
        for module in model.modules()
        if isinstance(module, Factors)
        for name, parameter in module.named_parameters()
        if (mask := module.mask(name)) is not None
    }
    # A tied block is one Parameter object, which `parameters` yields once.
    return sum(kept.get(id(parameter), parameter.numel()) for parameter in model.parameters())


def packed_shapes(config: RecursiveConfig, path: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in a backbone's weights file.

    Args:
        config: The backbone's configuration.
        path: The configuration's file, for messages.

    Raises:
        UserError: The configuration prunes what is no factor, or keeps more than there is.
    """
    shapes = canonical_shapes(config)
    for name, kept in config.pruned.items():
        shape = shapes.pop(name, None)
        size = torch.Size(shape or ()).numel()
        if shape is None or ".factors." not in name or kept > size:
            raise UserError(
                "A value cannot be used.",
                where=f"{path}: pruned",
                found=f"{name[:150]}: {kept}",
                allowed="factors of the backbone, and at most as many numbers as each has",
            )
        shapes[name + VALUES] = (kept,)
        shapes[name + BITS] = (-(-size // 8),)
    return shapes


def packed(tensors: Mapping[str, torch.Tensor], masks: Masks) -> dict[str, torch.Tensor]:
    """The tensors of a weights file.

    Args:
        tensors: The canonical tensors.
        masks: Which entries are kept of each pruned factor.
    """
    found = dict(tensors)
    for name, mask in masks.items():
        found[name + VALUES], found[name + BITS] = pack(found.pop(name), mask)
    return found


def unpacked(
    tensors: Mapping[str, torch.Tensor], config: RecursiveConfig, path: Path
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The canonical tensors of a weights file, and which entries of the pruned factors are kept.

    Args:
        tensors: What the file holds, of the shapes of `packed_shapes`.
        config: The backbone's configuration.
        path: The file, for messages.

    Raises:
        UserError: The bits of a factor do not belong to its numbers.
    """
    found, masks = dict(tensors), {}
    shapes = canonical_shapes(config) if config.pruned else {}
    for name in config.pruned:
        values, bits = found.pop(name + VALUES), found.pop(name + BITS)
        try:
            found[name], masks[name] = unpack(values, bits, shapes[name])
        except ValueError as error:
            raise UserError(
                "A pruned factor contradicts itself.",
                where=f"{path}: {name}",
                found=str(error),
                hint="the file is damaged; fetch or make the backbone again",
            ) from error
    return found, masks


def _mask(base: Any, name: str) -> torch.Tensor:
    mask = mask_of(base, name)
    if mask is None:
        raise ValueError(f"{name} is said to be pruned and has no mask")
    return mask
