"""The canonical tensors of a backbone: every parameter once, under the name it is stored by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import no_init_weights

from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.backbones.shape import BackboneShape, stored_shapes

# What stands in the names of the tensors of an adapter that is part of a backbone.
_MARKS = {RELAXED: f".loras.{RELAXED}.", LAYERWISE: f".adapters.{LAYERWISE}."}


def canonical_shapes(config: RecursiveConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that is stored for a backbone; no model is built.

    A parameter that several steps share is listed under the first of them. Names are those of
    `RecursiveModel`.
    """
    return stored_shapes(BackboneShape.of(config.to_dict(), None, None))


def state_shapes(model_class: Any, config: RecursiveConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of everything in the state of a model; nothing is allocated."""
    with torch.device("meta"), no_init_weights():
        model = model_class(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def canonical_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The canonical tensors of `model`, detached and not copied.

    Args:
        model: A `RecursiveModel`, or a model with heads over one. Adapters are left out.
    """
    base = base_of(model)
    state = base.state_dict()
    return {name: state[name] for name in canonical_shapes(base.config)}


def pretrained_tensors(model: nn.Module, adapter: str | None = None) -> dict[str, torch.Tensor]:
    """The tensors of the adapters of the backbone, under their names in a `RecursiveModel`.

    Those of an adapter that is merged are left out: the weights hold it already.

    Args:
        model: A model with adapters, or a `RecursiveModel`.
        adapter: The one whose tensors are meant; None: all of them.
    """
    marks = _MARKS.values() if adapter is None else (_MARKS[adapter],)
    base = base_of(model)
    merged = tuple(f"{name}.loras." for name, module in base.named_modules() if _is_merged(module))
    return {
        name: tensor
        for name, tensor in base.state_dict().items()
        if any(mark in name for mark in marks) and not name.startswith(merged)
    }


def _is_merged(module: nn.Module) -> bool:
    return getattr(module, "merged", None) == RELAXED


def assign(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy `tensors` into the parameters of `module` of the same names and shapes."""
    with torch.no_grad():
        for name, tensor in tensors.items():
            module.get_parameter(name).copy_(tensor)


def base_of(model: nn.Module) -> Any:
    """The `RecursiveModel` inside a model with heads, or the model itself."""
    return getattr(model, "base_model", model)
