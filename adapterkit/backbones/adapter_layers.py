"""AdapterHub's layers where parameters are shared by recursion steps."""

from __future__ import annotations

from typing import Any

import torch
from adapters.methods.bottleneck import BottleneckLayer
from adapters.methods.lora import LoRALinearTorch, LoRAState
from adapters.methods.prompt_tuning import PromptTuningLayer
from adapters.models.albert.modeling_albert import (
    AlbertAttentionWithAdapters,
    AlbertSdpaAttentionWithAdapters,
)
from torch import nn

from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.relaxed import RELAXED


class StepLoRALinear(LoRALinearTorch):  # type: ignore[misc]
    """A LoRA or IA3 linear of one recursion step, whose parameters other steps may share.

    Merging an update into a shared weight would change every step that shares it. Here the step
    gets a weight of its own first, which the configuration records so that saving and loading keep
    it; resetting puts the shared weight back, bit for bit. IA3 and DoRA scale the bias too, which
    AdapterHub leaves alone when it merges.

    The low-rank update of relaxed recursion belongs to the linear: what else is active is computed
    as if the weight held it. AdapterHub's own stack feeds each LoRA's output to the next instead.
    """

    step: int
    block_name: str
    weight: nn.Parameter
    bias: nn.Parameter
    model_config: RecursiveConfig
    merged: str | None

    def locate(self, step: int, block_name: str) -> None:
        """Say which parameter of which step this is, for instance 3 and ``attention.query``."""
        self.step, self.block_name = step, block_name
        self._unmerged: dict[str, nn.Parameter] = {}

    def add_adapter(self, adapter_name: str, layer_idx: int) -> bool:
        """Add the weights of `adapter_name`; whether this linear has any."""
        added: bool = super().add_adapter(adapter_name, layer_idx)
        if added:
            lora = self.loras[adapter_name]
            if not isinstance(getattr(lora, "lora_dropout", lora), nn.Module):
                # AdapterHub writes "no dropout" as a lambda, which no other process can be sent.
                lora.lora_dropout = nn.Identity()
            if lora.use_dora and RELAXED in self.loras:
                with torch.no_grad():
                    lora.m.weight.copy_(self._relaxed_weight().norm(dim=1, keepdim=True))
        return added

    def compose_single(self, adapter_setup: str, state: LoRAState, lvl: int = 0) -> LoRAState:
        """Apply one adapter; relaxed recursion's goes to the output of the linear itself."""
        if adapter_setup != RELAXED:
            return super().compose_single(adapter_setup, state, lvl)
        update, _ = self.loras[RELAXED](None, state.layer_input)
        return state._replace(layer_output=state.layer_output + update)

    def compose(self, adapter_setup: Any, state: LoRAState) -> LoRAState:
        """Apply the active adapters."""
        composed: LoRAState = super().compose(adapter_setup, state)
        if composed.last is None and RELAXED in self.loras:
            # Nothing else is active here, and AdapterHub asks for something to add.
            nothing = composed.layer_output.new_zeros(())
            return composed._replace(hidden_states=nothing, last=RELAXED)
        if RELAXED in self.loras and self.loras[composed.last].use_dora:
            return self._rescaled(composed) if RELAXED in adapter_setup.flatten() else composed
        return composed

    def _rescaled(self, state: LoRAState) -> LoRAState:
        """Let DoRA divide by the norms of this step's matrix, not of the one that steps share."""
        update = self.loras[state.last].delta_w
        shared = (self.weight + update).norm(dim=1)
        ratio = shared / (self._relaxed_weight() + update).norm(dim=1)
        return state._replace(
            layer_output=state.layer_output * ratio, hidden_states=state.hidden_states * ratio
        )

    def _relaxed_weight(self) -> torch.Tensor:
        weight: torch.Tensor = self.weight + self.loras[RELAXED].delta_w
        return weight

    def merge_adapter(self, name: str) -> None:
        """Merge `name` into this step's weight and bias, and into no other step's.

        Raises:
            ValueError: The adapter is gated, or another one is merged already, or it is not the
                update of relaxed recursion where there is one.
        """
        if name in self.loras and name != RELAXED and RELAXED in self.loras:
            raise ValueError(
                f"Cannot merge {name!r}: AdapterHub would leave out {RELAXED!r} where it is "
                "merged. Merge that one, save the backbone, and train on what was saved."
            )
        if name not in self.loras or self.merged:
            super().merge_adapter(name)
            return
        if self.loras[name].use_gating:
            raise ValueError("Cannot merge LoRA layer with gating.")
        for kind, value in _merged(self.weight, self.bias, self.loras[name]).items():
            shared = self._unmerged[kind] = self.get_parameter(kind)
            setattr(self, kind, nn.Parameter(value, shared.requires_grad))
        self.merged = name
        own = self.model_config.own_parameters
        own += [entry for entry in self._own_entries() if entry not in own]

    def reset_adapter(self) -> None:
        """Undo `merge_adapter`: the step shares the parameters it shared before."""
        for entry in self._own_entries():
            self.model_config.own_parameters.remove(entry)
        for kind, shared in self._unmerged.items():
            # Where every step is merged nothing else holds the shared one: it was not converted.
            shared.data = shared.data.to(self.get_parameter(kind))
            setattr(self, kind, shared)
        self._unmerged = {}
        self.merged = None

    def _own_entries(self) -> list[str]:
        return [f"{self.step}.{self.block_name}.{kind}" for kind in self._unmerged]


@torch.no_grad()
def _merged(weight: torch.Tensor, bias: torch.Tensor, lora: Any) -> dict[str, torch.Tensor]:
    """What a linear's weight (out, in) and bias (out) become when `lora` is merged into it."""
    if lora.composition_mode == "scale":
        return {
            "weight": lora.com(weight, lora.delta_w),
            "bias": lora.com(bias, lora.delta_w.reshape(-1)),
        }
    if lora.use_dora:
        # As AdapterHub computes it: the norm is that of the update before it is scaled.
        scale = lora.m.weight / (weight + lora.delta_w).norm(dim=1, keepdim=True)
        merged = scale * (weight + lora.scaling * lora.delta_w)
        return {"weight": merged, "bias": scale.reshape(-1) * bias}
    return {"weight": lora.com(weight, lora.delta_w)}


class StepBottleneckLayer(BottleneckLayer):  # type: ignore[misc]
    """A bottleneck slot of one recursion step; MiniALBERT's adapters get the block's epsilon."""

    def add_adapter(self, adapter_name: str, layer_idx: int) -> bool:
        """Add the weights of `adapter_name`; whether this slot has any."""
        added: bool = super().add_adapter(adapter_name, layer_idx)
        if added and _is_layerwise_form(self.adapters[adapter_name]):
            # AdapterHub builds LayerNorm with eps 1e-5; MiniALBERT's adapters have 1e-12.
            self.adapters[adapter_name].adapter_norm_after.eps = self.model_config.layer_norm_eps
        return added


class StepSdpaAttention(AlbertSdpaAttentionWithAdapters):  # type: ignore[misc]
    """SDPA attention of one recursion step that keeps its adapters whatever it is asked for."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        head_mask: torch.Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, ...]:
        """Attend; see ALBERT's attention.

        SDPA holds no attention maps. Asked for them, or to mask heads, AdapterHub falls back to
        ALBERT's own attention, which leaves the adapters out without a word.
        """
        absolute = self.position_embedding_type == "absolute"
        fits_sdpa = absolute and not output_attentions and head_mask is None
        attend = super().forward if fits_sdpa else self._written_out
        states: tuple[torch.Tensor, ...] = attend(
            hidden_states, attention_mask, head_mask, output_attentions
        )
        return states

    def _written_out(self, *inputs: Any) -> tuple[torch.Tensor, ...]:
        states: tuple[torch.Tensor, ...] = AlbertAttentionWithAdapters.forward(self, *inputs)
        return states


class PicklablePromptTuningLayer(PromptTuningLayer):  # type: ignore[misc]
    """A prompt that can be sent to another process."""

    def add_adapter(self, adapter_name: str, layer_idx: int) -> bool:
        """Add the prompt of `adapter_name`; whether there is one."""
        added: bool = super().add_adapter(adapter_name, layer_idx)
        if added:
            # AdapterHub keeps a lambda here, which cannot be pickled.
            prompt = self.prompt_tunings[adapter_name]
            after_first = prompt.prompt_tuning_config.combine == "prefix_after_bos"
            prompt.combination_fn = _prompt_behind_first if after_first else _prompt_in_front
        return added


def _prompt_in_front(prompt: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
    return torch.cat([prompt, embedded], dim=1)


def _prompt_behind_first(prompt: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
    return torch.cat([embedded[:, :1], prompt, embedded[:, 1:]], dim=1)


def _is_layerwise_form(adapter: Any) -> bool:
    """Whether `adapter` computes ``LayerNorm(up(gelu(down(x))) + x)``."""
    return bool(adapter.add_layer_norm_after and adapter.adapter_residual_before_ln)
