"""AdapterHub's layers where parameters are shared by recursion steps."""

from __future__ import annotations

from typing import Any

from adapters.methods.bottleneck import BottleneckLayer
from adapters.methods.lora import LoRALinearTorch
from torch import nn

from adapterkit.backbones.config import RecursiveConfig


class StepLoRALinear(LoRALinearTorch):  # type: ignore[misc]
    """A LoRA or IA3 linear of one recursion step, whose weight other steps may share.

    Merging an update into a shared weight would change every step that shares it. Here the step
    gets a weight of its own first, which the configuration records so that saving and loading keep
    it; resetting puts the shared weight back, bit for bit.
    """

    step: int
    block_name: str
    weight: nn.Parameter
    model_config: RecursiveConfig

    def locate(self, step: int, block_name: str) -> None:
        """Say which parameter of which step this is, for instance 3 and ``attention.query``."""
        self.step, self.block_name = step, block_name
        self._unmerged: list[nn.Parameter] = []

    @property
    def _entry(self) -> str:
        return f"{self.step}.{self.block_name}.weight"

    def merge_adapter(self, name: str) -> None:
        """Merge LoRA `name` into this step's weight, and into no other step's."""
        if name not in self.loras or self.merged:
            super().merge_adapter(name)
            return
        shared = self.weight
        self.weight = nn.Parameter(shared.detach().clone(), shared.requires_grad)
        try:
            super().merge_adapter(name)
        except ValueError:
            self.weight = shared
            raise
        self._unmerged = [shared]
        if self._entry not in self.model_config.own_parameters:
            self.model_config.own_parameters.append(self._entry)

    def reset_adapter(self) -> None:
        """Undo `merge_adapter`: the step shares the weight it shared before."""
        super().reset_adapter()
        if self._unmerged:
            (self.weight,) = self._unmerged
            self._unmerged = []
            self.model_config.own_parameters.remove(self._entry)


class StepBottleneckLayer(BottleneckLayer):  # type: ignore[misc]
    """A bottleneck slot of one recursion step; MiniALBERT's adapters get the block's epsilon."""

    def add_adapter(self, adapter_name: str, layer_idx: int) -> bool:
        """Add the weights of `adapter_name`; whether this slot has any."""
        added: bool = super().add_adapter(adapter_name, layer_idx)
        if added and _is_layerwise_form(self.adapters[adapter_name]):
            # AdapterHub builds LayerNorm with eps 1e-5; MiniALBERT's adapters have 1e-12.
            self.adapters[adapter_name].adapter_norm_after.eps = self.model_config.layer_norm_eps
        return added


def _is_layerwise_form(adapter: Any) -> bool:
    """Whether `adapter` computes ``LayerNorm(up(gelu(down(x))) + x)``."""
    return bool(adapter.add_layer_norm_after and adapter.adapter_residual_before_ln)
