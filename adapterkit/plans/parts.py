"""The parts of an adapted model: block, the backbone's adapters, task adapters, sides and heads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

import torch
from adapters.methods.bottleneck import BottleneckLayer
from torch import nn

from adapterkit.backbones import tying
from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.encoder import RecursiveEncoder
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.pretrained import FORMS
from adapterkit.backbones.relaxed import RELAXED

BACKBONE, EMBEDDING_ADAPTER, HEADS = "albert.", "albert.encoder.embedding_adapter.", "heads."
POOLER = "albert.pooler."
SIDES = "albert.encoder.sides."

ADAPTER_CONTAINERS = (
    "adapter_fusion_layer",
    "adapters",
    "loras",
    "prefix_gates",
    "prefix_tunings",
    "refts",
    "shared_parameters",
)
"""Modules of AdapterHub whose children are adapters, or what fuses them, by name."""

_AT_STEP = re.compile(r"albert\.encoder\.(?:albert_layer_groups|sides\.[^.]+\.rungs)\.([0-9]+)\.")
_PREFIX_POOL = ".attention.prefix_tuning.pool."


def has_layerwise(model: RecursiveAdapterModel) -> bool:
    """Whether the backbone has pretrained layer-wise adapters."""
    return LAYERWISE in model.adapters_config.adapters


def encoder_of(model: RecursiveAdapterModel) -> RecursiveEncoder:
    """The recursion inside a model."""
    encoder: RecursiveEncoder = model.get_submodule("albert.encoder")
    return encoder


def stored_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and saved buffer once, under the first of its names."""
    seen: set[int] = set()
    stored = {}
    for name, tensor in _state(model).items():
        key = tensor.data_ptr() or id(tensor)
        if key not in seen:
            seen.add(key)
            stored[name] = tensor
    return stored


def adapter_names_of(model: RecursiveAdapterModel) -> list[str]:
    """The names of all adapters, those of the backbone included, and of all fusions."""
    return [*model.adapters_config.adapters, *model.adapters_config.fusions]


def adapter_of(model: RecursiveAdapterModel, tensor: str) -> str | None:
    """The adapter or fusion that AdapterHub stores the tensor of that name with, if any."""
    parts = tensor.split(".")
    names = adapter_names_of(model)
    for container, adapter in pairwise(parts):
        if container in ADAPTER_CONTAINERS and adapter in names:
            return adapter
    return None


def side_of(tensor: str) -> str | None:
    """The side path that the tensor of that name belongs to, if there is one."""
    return tensor.removeprefix(SIDES).split(".")[0] if tensor.startswith(SIDES) else None


def task_head(model: RecursiveAdapterModel, name: str) -> str | None:
    """The head of the task `name`: the one so called, or else the active one."""
    if name in model.heads:
        return name
    active = model.active_head
    return active if isinstance(active, str) else None


def reads_pooler(model: RecursiveAdapterModel, head: str | None) -> bool:
    """Whether a head reads the pooled output, and the backbone has weights for it."""
    if head is None or not model.config.use_pooler:
        return False
    return bool(model.heads[head].config.get("use_pooler"))


def adapter_parameters(model: RecursiveAdapterModel, adapter: str) -> Iterator[nn.Parameter]:
    """The parameters of an adapter, those that its steps share included."""
    for name, parameter in model.named_parameters():
        if adapter_of(model, name) == adapter:
            yield parameter


def adapter_modules(model: RecursiveAdapterModel, adapter: str, step: int) -> Iterator[nn.Module]:
    """The bottlenecks of an adapter at one step."""
    for slot in encoder_of(model).blocks()[step].modules():
        if isinstance(slot, BottleneckLayer) and adapter in slot.adapters:
            yield slot.adapters[adapter]


def block_parameters(model: RecursiveAdapterModel, steps: Iterable[int]) -> Iterator[nn.Parameter]:
    """The parameters of the block at some steps, the updates of relaxed recursion among them."""
    blocks = encoder_of(model).blocks()
    for step in steps:
        for name in tying.block_parameters(model.config):
            yield blocks[step].get_parameter(name)
        for name, parameter in blocks[step].named_parameters():
            if adapter_of(model, name) == RELAXED:
                yield parameter


def backbone_parameters(model: RecursiveAdapterModel, pooled: bool) -> Iterator[nn.Parameter]:
    """Everything pretrained: embeddings, projection, block and the backbone's own adapters.

    Args:
        model: The model.
        pooled: Whether a head reads the pooler; it gets no gradient elsewhere.
    """
    for name, parameter in model.named_parameters():
        if not name.startswith(BACKBONE) or (name.startswith(POOLER) and not pooled):
            continue
        if name.startswith(SIDES):
            continue
        if adapter_of(model, name) in (None, *FORMS):
            yield parameter


def steps_by_storage(model: RecursiveAdapterModel) -> dict[str, tuple[int, ...]]:
    """For each stored tensor of recursion steps and the rungs beside them, the steps it is for."""
    steps: dict[int, list[int]] = {}
    for name, tensor in _state(model).items():
        if match := _AT_STEP.match(name):
            steps.setdefault(tensor.data_ptr() or id(tensor), []).append(int(match[1]))
    return {
        name: tuple(steps[key])
        for name, tensor in stored_tensors(model).items()
        if (key := tensor.data_ptr() or id(tensor)) in steps
    }


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and saved buffers by all their names."""
    # Every layer refers to the one pool of prefixes, which is the base model's.
    state: dict[str, torch.Tensor] = model.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in state.items() if _PREFIX_POOL not in name}
