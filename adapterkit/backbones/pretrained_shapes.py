"""The tensors of the adapters that may be part of a backbone, told without making any."""

from __future__ import annotations

from typing import Protocol

from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.backbones.tying import STEP_PREFIX

_ATTENTION_SLOT, _OUTPUT_SLOT = "attention.attention_adapters", "output_adapters"


class Widths(Protocol):
    """The sizes of a backbone that its adapters' sizes follow from."""

    @property
    def num_hidden_layers(self) -> int:
        """Number of recursion steps."""

    @property
    def hidden_size(self) -> int:
        """Width of the block."""

    @property
    def intermediate_size(self) -> int:
        """Width of the feed-forward layer."""


def layerwise_shapes(config: Widths, reduction: float) -> dict[str, tuple[int, ...]]:
    """Name in a `RecursiveModel` and shape of every tensor of a layer-wise adapter.

    Args:
        config: The backbone's configuration.
        reduction: Hidden width over bottleneck width.
    """
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
        for slot in (_ATTENTION_SLOT, _OUTPUT_SLOT)
        if not (step == last and slot == _OUTPUT_SLOT)
        for name, shape in shapes.items()
    }


def relaxed_shapes(config: Widths, rank: int) -> dict[str, tuple[int, ...]]:
    """Name in a `RecursiveModel` and shape of every tensor of relaxed recursion's updates.

    Args:
        config: The backbone's configuration.
        rank: Rank of the updates.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
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
