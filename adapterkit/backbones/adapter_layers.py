"""AdapterHub's layers where parameters are shared by recursion steps."""

from __future__ import annotations

from typing import Any

import torch
from adapters.composition import (
    Fuse,
    adjust_tensors_for_parallel,
    match_attn_matrices_for_parallel,
)
from adapters.methods.bottleneck import BottleneckLayer, BottleneckState
from adapters.methods.modeling import BertFusion
from adapters.methods.prompt_tuning import PromptTuningLayer
from adapters.models.albert.modeling_albert import (
    AlbertAttentionWithAdapters,
    AlbertSdpaAttentionWithAdapters,
)
from adapters.utils import prefix_attention_mask
from torch import nn
from torch.profiler import record_function

from adapterkit.backbones.dropout import drop
from adapterkit.backbones.kronecker_adapters import start_kronecker_up
from adapterkit.backbones.kronecker_configs import AdakronConfig
from adapterkit.backbones.unpadding import Unpadding


class StepBottleneckLayer(BottleneckLayer):  # type: ignore[misc]
    """A bottleneck slot of one recursion step; MiniALBERT's adapters get the block's epsilon."""

    def add_adapter(self, adapter_name: str, layer_idx: int) -> bool:
        """Add the weights of `adapter_name`; whether this slot has any."""
        added: bool = super().add_adapter(adapter_name, layer_idx)
        if not added:
            return False
        adapter = self.adapters[adapter_name]
        if _is_layerwise_form(adapter):
            # AdapterHub builds LayerNorm with eps 1e-5; MiniALBERT's adapters have 1e-12.
            adapter.adapter_norm_after.eps = self.model_config.layer_norm_eps
        if config := self.adapters_config.match(
            adapter_name, AdakronConfig, layer_idx, self.location_key
        ):
            width = self.model_config.hidden_size
            adapter.adapter_up = start_kronecker_up(adapter.down_sample, width, config.factor)
        return True

    def add_fusion_layer(self, adapter_names: str | list[str]) -> None:
        """Add the fusion layer of that name where there is something to fuse, at no other slot.

        AdapterHub asks the adapters' configuration instead, which says nothing of single layers,
        and nothing at all where it is a union.
        """
        fused = adapter_names if isinstance(adapter_names, list) else [adapter_names]
        name = ",".join(fused)
        config, children = self.adapters_config.get_fusion(name)
        if any(child in self.adapters for child in children):
            dropout = config.dropout_prob or self.model_config.attention_probs_dropout_prob
            layer = BertFusion(config, self.model_config.hidden_size, dropout)
            self.adapter_fusion_layer[name] = layer.train(self.training)

    def compose_fuse(
        self, adapter_setup: Fuse, state: BottleneckState, lvl: int = 0
    ) -> BottleneckState:
        """Apply a fusion, where there is something to fuse."""
        if set(self.adapters).isdisjoint(adapter_setup.flatten()):
            return state
        composed: BottleneckState = super().compose_fuse(adapter_setup, state, lvl)
        return composed

    def compose_single(
        self, adapter_setup: str, state: BottleneckState, lvl: int = 0
    ) -> BottleneckState:
        """Apply one adapter; a group of them gives more rows than it reads."""
        composed: BottleneckState = super().compose_single(adapter_setup, state, lvl)
        (residual,) = adjust_tensors_for_parallel(composed.hidden_states, composed.input_tensor)
        return composed._replace(input_tensor=residual)


class StepSdpaAttention(AlbertSdpaAttentionWithAdapters):  # type: ignore[misc]
    """SDPA attention of one recursion step that keeps its adapters whatever it is asked for."""

    positions: torch.Tensor | None = None
    """The tokens of each text that attend, shape (batch, some), where they are not all of them."""
    unpadding: Unpadding | None = None
    """Says where in the one row that is read the texts are, where padding was left out."""

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
        if fits_sdpa:
            return (self._attend(hidden_states, attention_mask),)
        states: tuple[torch.Tensor, ...] = AlbertAttentionWithAdapters.forward(
            self, hidden_states, attention_mask, head_mask, output_attentions
        )
        return states

    def _attend(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """As AdapterHub's forward pass, but that `positions` attend alone, and without padding."""
        chosen, places = self._chosen(states)
        mask = prefix_attention_mask(mask, [2, 3])
        query = self.query(chosen)
        query, key, value = match_attn_matrices_for_parallel(
            self._heads(_texts(query, places)),
            self._heads(_texts(self.key(states), self.unpadding)),
            self._heads(_texts(self.value(states), self.unpadding)),
        )
        (mask,) = adjust_tensors_for_parallel(query, mask)
        key, value, mask = self.prefix_tuning(key, value, states, mask)
        (query,) = adjust_tensors_for_parallel(key, query)
        if self.positions is not None and mask is not None:
            # Every token of a text sees the same others.
            mask = mask[:, :, :1]
        context = attend(query, key, value, mask, self.dropout_prob if self.training else 0.0)
        context = context.transpose(1, 2).flatten(2)
        if places is not None:
            context = places.row(context)
        projected = self.output_dropout(self.dense(context))
        adapted: torch.Tensor = self.attention_adapters(chosen, projected, self.LayerNorm)
        return adapted

    def _chosen(self, states: torch.Tensor) -> tuple[torch.Tensor, Unpadding | None]:
        """The states that attend and, where they are one row, where in it they stand."""
        if self.positions is None:
            return states, self.unpadding
        if self.unpadding is None:
            return take(states, self.positions), None
        places = self.unpadding.chosen(self.positions)
        return places.row(self.unpadding.take(states, self.positions)), places

    def _heads(self, states: torch.Tensor) -> torch.Tensor:
        """From (batch, tokens, heads times size) to (batch, heads, tokens, size)."""
        split = (len(states), -1, self.num_attention_heads, self.attention_head_size)
        return states.view(split).transpose(1, 2)


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


def _texts(states: torch.Tensor, places: Unpadding | None) -> torch.Tensor:
    return states if places is None else places.padded(states)


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
) -> torch.Tensor:
    """Scaled dot-product attention.

    PyTorch's own has no fast way with dropout on a processor, and is written out there.

    Args:
        query: Shape (batch, heads, some, size).
        key: Shape (batch, heads, tokens, size); `value` likewise.
        value: See `key`.
        mask: Added to the scores, shape (batch, 1, 1 or some, tokens).
        dropout: Of the attention probabilities.

    Returns:
        Shape (batch, heads, some, size).
    """
    if not dropout or query.device.type != "cpu":
        return nn.functional.scaled_dot_product_attention(query, key, value, mask, dropout)
    with record_function("adapterkit::attention"):
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        scores = scores if mask is None else scores + mask
        return drop(scores.softmax(-1), dropout) @ value


def take(states: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The states at some positions of each text.

    Args:
        states: Shape (batch, tokens, hidden); a batch that adapters have repeated for each of
            them is longer than that of `positions`.
        positions: Shape (batch, some).

    Returns:
        Shape (batch, some, hidden).
    """
    (positions,) = adjust_tensors_for_parallel(states, positions)
    return states.gather(1, positions[..., None].expand(-1, -1, states.shape[-1]))


def _prompt_in_front(prompt: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
    return torch.cat([prompt, embedded], dim=1)


def _prompt_behind_first(prompt: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
    return torch.cat([embedded[:, :1], prompt, embedded[:, 1:]], dim=1)


def _is_layerwise_form(adapter: Any) -> bool:
    """Whether `adapter` computes ``LayerNorm(up(gelu(down(x))) + x)``."""
    return bool(adapter.add_layer_norm_after and adapter.adapter_residual_before_ln)
