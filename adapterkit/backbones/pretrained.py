"""Adapters that are part of a backbone: relaxed recursion's and MiniALBERT's layer-wise ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from adapters import AdapterConfig, AdapterSetup, Stack
from torch import nn

from adapterkit.backbones.canonical import pretrained_tensors
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.backbones.pretrained_shapes import layerwise_shapes, relaxed_shapes
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
        return relaxed_shapes(config, int(size))

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
