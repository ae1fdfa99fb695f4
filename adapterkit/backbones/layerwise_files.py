"""The layer-wise adapter as an AdapterHub adapter folder, written and read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from adapters import AdapterSetup
from adapters.configuration.model_adapters_config import build_full_config
from torch import nn

from adapterkit.backbones.canonical import STEP_PREFIX, layerwise_tensors
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.backbones.safety import read_json
from adapterkit.backbones.tensors import (
    as_float32,
    check_shapes,
    read_safetensors,
    write_safetensors,
)
from adapterkit.runs.atomic import write_json
from adapterkit.runs.errors import UserError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter.safetensors"
# AdapterHub stores names as a model with heads has them.
_PREFIX = "albert."


def write_layerwise(model: Any, directory: Path, dtype: torch.dtype | None = None) -> None:
    """Write the layer-wise adapter of `model` so that AdapterHub's ``load_adapter`` reads it too.

    Args:
        model: A `RecursiveAdapterModel` with a layer-wise adapter.
        directory: A folder that does not exist yet.
        dtype: Precision to store; ``None`` keeps the model's.

    Raises:
        UserError: The adapter is not of MiniALBERT's form, or the disk refuses.
    """
    config = model.adapters_config.get(LAYERWISE)
    reduction = reduction_factor_of(config.to_dict(), model.config.num_hidden_layers)
    if reduction is None:
        raise UserError(
            "The adapter named 'layerwise' is not a layer-wise adapter.",
            hint="give a task adapter another name",
        )
    full = build_full_config(
        config, model.config, model_name="", name=LAYERWISE, model_class=type(model).__name__
    )
    tensors = {
        _PREFIX + name: tensor if dtype is None else tensor.to(dtype)
        for name, tensor in layerwise_tensors(model).items()
    }
    directory.mkdir(parents=True)
    write_json(directory / CONFIG_FILE, full)
    write_safetensors(directory / WEIGHTS_FILE, tensors)


def read_layerwise(
    directory: Path, config: RecursiveConfig
) -> tuple[float, dict[str, torch.Tensor]]:
    """The reduction factor and the float32 tensors, named as in a `RecursiveModel`.

    Args:
        directory: A folder that `write_layerwise` wrote.
        config: The backbone's configuration.

    Raises:
        UserError: The adapter is damaged, or not a layer-wise adapter of so many steps.
    """
    path, steps = directory / CONFIG_FILE, config.num_hidden_layers
    described = read_json(path).get("config")
    reduction = reduction_factor_of(described, steps) if isinstance(described, dict) else None
    if reduction is None:
        raise UserError(
            "The folder holds no layer-wise adapter for this backbone.",
            where=f"{path}: config",
            allowed=f"the configuration of a layer-wise adapter of {steps} steps",
        )
    weights = directory / WEIGHTS_FILE
    expected = layerwise_shapes(config, reduction)
    check_shapes(weights, {_PREFIX + name: shape for name, shape in expected.items()})
    tensors = as_float32(weights, read_safetensors(weights))
    return reduction, {name.removeprefix(_PREFIX): value for name, value in tensors.items()}


def layerwise_shapes(config: RecursiveConfig, reduction: float) -> dict[str, tuple[int, ...]]:
    """Name in a `RecursiveModel` and shape of every tensor of a layer-wise adapter."""
    hidden, units = config.hidden_size, int(config.hidden_size // reduction)
    shapes: dict[str, tuple[int, ...]] = {
        "adapter_down.0.weight": (units, hidden),
        "adapter_down.0.bias": (units,),
        "adapter_up.weight": (hidden, units),
        "adapter_up.bias": (hidden,),
        "adapter_norm_after.weight": (hidden,),
        "adapter_norm_after.bias": (hidden,),
    }
    last = config.num_hidden_layers - 1
    return {
        f"{STEP_PREFIX.format(step=step)}{slot}.adapters.{LAYERWISE}.{name}": shape
        for step in range(config.num_hidden_layers)
        for slot in ("attention.attention_adapters", "output_adapters")
        if not (step == last and slot == "output_adapters")
        for name, shape in shapes.items()
    }


def reduction_factor_of(config: dict[str, Any], steps: int) -> float | None:
    """The reduction factor if `config` is that of a layer-wise adapter, else ``None``."""
    parts = config.get("configs")
    if not isinstance(parts, list) or not parts or not isinstance(parts[0], dict):
        return None
    reduction = parts[0].get("reduction_factor")
    if isinstance(reduction, bool) or not isinstance(reduction, (int, float)):
        return None
    if not 0 < reduction <= 16_384:
        return None
    return reduction if config == layerwise_config(steps, reduction).to_dict() else None


def add_layerwise(model: Any, reduction: float, tensors: dict[str, torch.Tensor]) -> None:
    """Add the layer-wise adapter to `model`, with these weights, and activate it.

    Args:
        model: A `RecursiveAdapterModel`, or another model that AdapterHub was set up for.
        reduction: Hidden width over bottleneck width.
        tensors: Float32 tensors named as in a `RecursiveModel`, of the shapes `read_layerwise`
            checks.
    """
    model.add_adapter(LAYERWISE, config=layerwise_config(model.config.num_hidden_layers, reduction))
    for name, target in layerwise_tensors(model).items():
        target.copy_(tensors[name])
    # Inside the setup AdapterHub does not warn that no adapter is active yet.
    with AdapterSetup(LAYERWISE):
        model.set_active_adapters(LAYERWISE)


def has_layerwise(model: nn.Module) -> bool:
    """Whether `model` has a layer-wise adapter."""
    return LAYERWISE in model.adapters_config  # type: ignore[operator]
