"""Adapters that are part of a backbone: relaxed recursion's and MiniALBERT's layer-wise ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from adapters import AdapterConfig, AdapterSetup, Stack
from torch import nn

from adapterkit.backbones.canonical import STEP_PREFIX, pretrained_tensors
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.backbones.relaxed import RELAXED, relaxed_config

Pretrained = tuple[float, dict[str, torch.Tensor]]
"""The size of a pretrained adapter, and its tensors as a `RecursiveModel` names them."""

_LARGEST_SIZE = 16_384


class PretrainedForm(ABC):
    """A kind of adapter that can be part of a backbone.

    Its configuration follows from the backbone's and from one number, its size.
    """

    name: ClassVar[str]
    """Of the adapter, and of its folder in the backbone's."""
    words: ClassVar[str]
    """What it is, for messages."""

    @abstractmethod
    def config(self, steps: int, size: float) -> AdapterConfig:
        """The AdapterHub configuration for a backbone of so many recursion steps."""

    @abstractmethod
    def shapes(self, config: RecursiveConfig, size: float) -> dict[str, tuple[int, ...]]:
        """Name in a `RecursiveModel` and shape of every tensor."""

    @abstractmethod
    def _stated_size(self, config: Mapping[str, Any]) -> Any:
        """Where `config` has the size, or anything at all."""

    def size_of(self, config: Mapping[str, Any], steps: int) -> float | None:
        """The size if `config` is a configuration of this form, else None."""
        size = self._stated_size(config)
        if isinstance(size, bool) or not isinstance(size, (int, float)):
            return None
        if not 0 < size <= _LARGEST_SIZE:
            return None
        return size if config == self.config(steps, size).to_dict() else None


class _Relaxed(PretrainedForm):
    """Low-rank updates of every step's matrices; the size is their rank."""

    name = RELAXED
    words = "relaxed-recursion adapter"

    def config(self, steps: int, size: float) -> AdapterConfig:
        return relaxed_config(int(size))

    def shapes(self, config: RecursiveConfig, size: float) -> dict[str, tuple[int, ...]]:
        rank, hidden, inner = int(size), config.hidden_size, config.intermediate_size
        widths = {
            "attention.query": (hidden, hidden),
            "attention.key": (hidden, hidden),
            "attention.value": (hidden, hidden),
            "attention.dense": (hidden, hidden),
            "ffn": (hidden, inner),
            "ffn_output": (inner, hidden),
        }
        shapes: dict[str, tuple[int, ...]] = {}
        for step in range(config.num_hidden_layers):
            for module, (read, written) in widths.items():
                place = f"{STEP_PREFIX.format(step=step)}{module}.loras.{RELAXED}"
                shapes[f"{place}.lora_A"] = (rank, read)
                shapes[f"{place}.lora_B"] = (written, rank)
        return shapes

    def _stated_size(self, config: Mapping[str, Any]) -> Any:
        size = config.get("r")
        return size if isinstance(size, int) else None


class _Layerwise(PretrainedForm):
    """MiniALBERT's bottlenecks; the size is hidden width over bottleneck width."""

    name = LAYERWISE
    words = "layer-wise adapter"

    def config(self, steps: int, size: float) -> AdapterConfig:
        return layerwise_config(steps, size)

    def shapes(self, config: RecursiveConfig, size: float) -> dict[str, tuple[int, ...]]:
        return layerwise_shapes(config, size)

    def _stated_size(self, config: Mapping[str, Any]) -> Any:
        parts = config.get("configs")
        first = parts[0] if isinstance(parts, list) and parts else None
        return first.get("reduction_factor") if isinstance(first, dict) else None


FORMS: dict[str, PretrainedForm] = {form.name: form for form in (_Relaxed(), _Layerwise())}
"""Every kind of adapter a backbone may have, by name, in the order of their stack."""


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


def pretrained_names(model: nn.Module) -> tuple[str, ...]:
    """The adapters of `model` that are part of its backbone, in the order of their stack."""
    held: Any = model.adapters_config
    return tuple(name for name in FORMS if name in held)


def add_pretrained(model: Any, found: Mapping[str, Pretrained]) -> None:
    """Add adapters of the backbone to `model`, with these weights, and activate them.

    Args:
        model: A `RecursiveAdapterModel`, or another model that AdapterHub was set up for.
        found: For each adapter's name its size and its float32 tensors, of the shapes its form
            has.
    """
    for name, (size, tensors) in found.items():
        model.add_adapter(name, config=FORMS[name].config(model.config.num_hidden_layers, size))
        for tensor, target in pretrained_tensors(model, name).items():
            target.copy_(tensors[tensor])
    activate_pretrained(model)


def activate_pretrained(model: Any) -> None:
    """Make the adapters of the backbone, and no others, active."""
    names = pretrained_names(model)
    if not names:
        model.set_active_adapters(None)
        return
    stack = Stack(*names)
    # Inside the setup AdapterHub does not warn that no adapter is active yet.
    with AdapterSetup(stack):
        model.set_active_adapters(stack)
