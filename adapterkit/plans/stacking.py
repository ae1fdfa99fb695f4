"""AdapterHub configurations that neither repeat nor lose what stands around a task adapter.

A slot of a recursion step may hold a pretrained layer-wise adapter, which has applied the block's
residual connection and LayerNorm already. A task adapter that computes zero must leave the
backbone's output as it is there too.

Sequential bottlenecks stand behind the layer-wise adapter (``Stack("layerwise", "task")``), with
settings that add no second residual and LayerNorm; at the output of the last step, where no
layer-wise adapter stands, they apply them themselves, unless they stand on a frozen task adapter,
which has applied them (``Stack("layerwise", "task-part1", "task")``).

Without layer-wise adapters AdapterHub's own settings do: each sequential bottleneck of a stack adds
to what the one before it made, and the last applies residual and LayerNorm.

Some stand before it (``Stack("task", "layerwise")``), with AdapterHub's own settings: the
layer-wise adapter applies residual and LayerNorm after them. These are

- parallel bottlenecks, which add to the output of the sub-block before its LayerNorm;
- Compacter, of which AdapterHub accepts no union of configurations, as its steps share parameters;
- ReFT, because AdapterHub applies it only where it comes first in a stack.
"""

from __future__ import annotations

from typing import Any

import torch
from adapters import AdapterConfig, BnConfig, ConfigUnion
from adapters.configuration import ReftConfig
from adapters.methods.bottleneck import BottleneckLayer
from adapters.methods.modeling import Adapter, ParallelAdapter

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.kronecker_configs import OpenUnion

_BEHIND = {"original_ln_before": False, "original_ln_after": False, "residual_before_ln": True}
_ALONE = {"original_ln_before": True, "original_ln_after": False, "residual_before_ln": False}


class SequencedParallelAdapter(ParallelAdapter):  # type: ignore[misc]
    """A parallel bottleneck that another adapter may follow in a stack.

    It computes ``output + scale * up(f(down(input)))`` of a sub-block (arXiv 2110.04366, table 1).
    AdapterHub's own adds ``output`` only where it is the last of its stack.
    """

    def pre_forward(
        self,
        hidden_states: torch.Tensor,
        input_tensor: torch.Tensor,
        layer_norm: Any,
        fusion_config: Any = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """The states the bottleneck reads, the query of a fusion, and the states it adds to."""
        states, query, _ = super().pre_forward(
            hidden_states, input_tensor, layer_norm, fusion_config
        )
        return states, query, hidden_states

    def forward(
        self, x: torch.Tensor, residual_input: torch.Tensor, output_gating: bool = False
    ) -> tuple[Any, ...]:
        """Read `x`, add to `residual_input`; both (batch, tokens, hidden)."""
        output, *others = super().forward(x, residual_input, output_gating)
        return (output + residual_input, *others)

    def post_forward(
        self,
        hidden_states: torch.Tensor,
        input_hidden_states: torch.Tensor,
        input_tensor: torch.Tensor,
        layer_norm: Any,
    ) -> torch.Tensor:
        """Residual connection and LayerNorm of the sub-block, if nothing stands behind."""
        states: torch.Tensor = Adapter.post_forward(
            self, hidden_states, input_hidden_states, input_tensor, layer_norm
        )
        return states


def members(config: AdapterConfig) -> list[AdapterConfig]:
    """The configurations of a union, or the one configuration."""
    return list(config.configs) if isinstance(config, ConfigUnion) else [config]


def stands_before(config: AdapterConfig) -> bool:
    """Whether an adapter of this configuration stands before the layer-wise one."""
    return any(
        isinstance(c, ReftConfig) or (isinstance(c, BnConfig) and (c.is_parallel or c.phm_layer))
        for c in members(config)
    )


def stackable(
    config: AdapterConfig, steps: tuple[int, ...], total: int, on_frozen: bool = False
) -> AdapterConfig:
    """The configuration that computes `config` on top of pretrained layer-wise adapters.

    Args:
        config: A configuration that leaves out every step but `steps`.
        steps: The steps it is for.
        total: Number of recursion steps of the backbone.
        on_frozen: Whether a task adapter of the same configuration stands between the two.
    """
    if stands_before(config):
        return config
    stacked: list[AdapterConfig] = []
    for member in members(config):
        if isinstance(member, BnConfig):
            stacked.extend(_behind_layerwise(member, steps, total, on_frozen))
        else:
            stacked.append(member)
    return stacked[0] if len(stacked) == 1 else OpenUnion(*stacked)


def sequence_parallel(model: RecursiveAdapterModel, adapter: str) -> None:
    """Let the parallel bottlenecks of `adapter`, if it has any, stand before another adapter."""
    for _, layer in model.iter_layers():
        for slot in layer.modules():
            if isinstance(slot, BottleneckLayer) and adapter in slot.adapters:
                module = slot.adapters[adapter]
                if isinstance(module, ParallelAdapter):
                    module.__class__ = SequencedParallelAdapter


def _behind_layerwise(
    config: BnConfig, steps: tuple[int, ...], total: int, on_frozen: bool
) -> list[BnConfig]:
    # The step at whose output there is nothing to stand behind.
    last = total if on_frozen else total - 1
    variants = []
    if config.mh_adapter:
        variants.append(_variant(config, "mh_adapter", steps, total, _BEHIND))
    if config.output_adapter and set(steps) != {last}:
        inner = tuple(step for step in steps if step != last)
        variants.append(_variant(config, "output_adapter", inner, total, _BEHIND))
    if config.output_adapter and last in steps:
        variants.append(_variant(config, "output_adapter", (last,), total, _ALONE))
    return variants


def _variant(
    config: BnConfig, slot: str, steps: tuple[int, ...], total: int, settings: dict[str, Any]
) -> BnConfig:
    return config.replace(
        mh_adapter=slot == "mh_adapter",
        output_adapter=slot == "output_adapter",
        leave_out=[step for step in range(total) if step not in steps],
        **settings,
    )
