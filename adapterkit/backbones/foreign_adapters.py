"""MiniALBERT's own adapters: the step-0 one joins the embedding projection, the rest AdapterHub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.tensors import as_float32, compare_shapes, shapes_of
from adapterkit.backbones.tying import STEP_PREFIX
from adapterkit.runs.errors import UserError

_PARTS = {"block.0": "adapter_down.0", "block.2": "adapter_up", "norm": "adapter_norm_after"}
_STEP_0_PARTS = {"block.0": "down", "block.2": "up", "norm": "norm"}


@dataclass(frozen=True)
class Adapters:
    """MiniALBERT's adapters by their place in a recursive backbone.

    Attributes:
        units: Bottleneck width.
        embedding_adapter: ``att_adapters.0``, named as in a `RecursiveModel`.
        layerwise: Reduction factor, and all the others, named as in a `RecursiveModel`.
    """

    units: int
    embedding_adapter: dict[str, torch.Tensor]
    layerwise: tuple[float, dict[str, torch.Tensor]]


def convert_adapters(
    kept: Mapping[str, torch.Tensor], values: Mapping[str, Any], path: Path
) -> Adapters | None:
    """Sort the adapters among the tensors of a checkpoint, if it has any.

    Args:
        kept: Tensors by the names of `layouts.new_names`.
        values: The checked configuration.
        path: The weights file, for messages.

    Raises:
        UserError: Adapters are missing, misshapen, or contradict the configuration.
    """
    found = {n: t for n, t in kept.items() if n.startswith(("att_adapters.", "mlp_adapters."))}
    stated = values.get("use_adapter")
    if stated is not None and stated != bool(found):
        raise UserError(
            "The configuration and the weights disagree about layer-wise adapters.",
            where=f"{path}: use_adapter",
            found=f"use_adapter {str(stated).lower()}, {len(found)} adapter tensors",
        )
    if not found:
        return None
    steps, hidden = values["num_hidden_layers"], values["hidden_size"]
    units = _units(found, values, path)
    compare_shapes(path, shapes_of(found), _expected(steps, hidden, units))
    found = as_float32(path, found)
    layerwise: dict[str, torch.Tensor] = {}
    for step in range(steps):
        place = STEP_PREFIX.format(step=step) + "attention.attention_adapters"
        layerwise |= _renamed(
            found, f"mlp_adapters.{step}", f"{place}.adapters.{LAYERWISE}", _PARTS
        )
    for step in range(1, steps):
        place = STEP_PREFIX.format(step=step - 1) + "output_adapters"
        layerwise |= _renamed(
            found, f"att_adapters.{step}", f"{place}.adapters.{LAYERWISE}", _PARTS
        )
    first = _renamed(found, "att_adapters.0", "encoder.embedding_adapter", _STEP_0_PARTS)
    return Adapters(units, first, (reduction_factor_for(hidden, units, values), layerwise))


def reduction_factor_for(hidden: int, units: int, values: Mapping[str, Any]) -> float:
    """A reduction factor from which AdapterHub computes a bottleneck of `units` units."""
    stated = values.get("reduction_factor")
    for candidate in (stated, hidden // units, hidden / units, hidden / (units + 0.5)):
        if candidate and int(hidden // candidate) == units:
            return float(candidate) if candidate != int(candidate) else int(candidate)
    raise AssertionError(f"no reduction factor from {hidden} to {units}")


def _units(found: Mapping[str, torch.Tensor], values: Mapping[str, Any], path: Path) -> int:
    down = found.get("mlp_adapters.0.block.0.weight")
    if down is None or down.ndim != 2 or not 0 < down.shape[0] <= values["hidden_size"]:
        raise UserError(
            "The checkpoint's adapters are incomplete.",
            where=f"{path}: mlp_adapters.0.block.0.weight",
            found="nothing" if down is None else str(list(down.shape)),
            allowed=f"a matrix with {values['hidden_size']} columns",
        )
    units, reduction = int(down.shape[0]), values.get("reduction_factor")
    if reduction is not None and int(values["hidden_size"] // reduction) != units:
        raise UserError(
            "A tensor has a shape that contradicts the configuration.",
            where=f"{path}: mlp_adapters.0.block.0.weight",
            found=f"{units} units",
            allowed=f"hidden_size // reduction_factor = {int(values['hidden_size'] // reduction)}",
        )
    return units


def _expected(steps: int, hidden: int, units: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "block.0.weight": (units, hidden),
        "block.0.bias": (units,),
        "block.2.weight": (hidden, units),
        "block.2.bias": (hidden,),
        "norm.weight": (hidden,),
        "norm.bias": (hidden,),
    }
    return {
        f"{kind}_adapters.{step}.{name}": shape
        for kind in ("att", "mlp")
        for step in range(steps)
        for name, shape in shapes.items()
    }


def _renamed(
    tensors: Mapping[str, torch.Tensor], source: str, target: str, parts: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    return {
        f"{target}.{new}.{leaf}": tensors[f"{source}.{old}.{leaf}"]
        for old, new in parts.items()
        for leaf in ("weight", "bias")
    }
