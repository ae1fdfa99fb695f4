"""Attention that can tell its maps."""

from __future__ import annotations

from adapters.models.albert.modeling_albert import AlbertAttentionWithAdapters
from torch import nn
from transformers.models.albert.modeling_albert import AlbertAttention, AlbertSdpaAttention
from transformers.models.bert.modeling_bert import BertSdpaSelfAttention, BertSelfAttention

from adapterkit.backbones.adapter_layers import StepSdpaAttention

_WRITTEN_OUT = {
    StepSdpaAttention: AlbertAttentionWithAdapters,
    AlbertSdpaAttention: AlbertAttention,
    BertSdpaSelfAttention: BertSelfAttention,
}


def use_written_out_attention(model: nn.Module) -> None:
    """Let a BERT or a recursive model compute its attention maps, which SDPA never holds.

    The written-out layers have the same parameters and compute the same; asked for maps, SDPA
    layers would call them anyway, and warn of it each time.

    Args:
        model: Changed in place; its parameters, and what it computes, are not.
    """
    for module in model.modules():
        written_out = _WRITTEN_OUT.get(type(module))
        if written_out is not None:
            module.__class__ = written_out
        if getattr(module, "attn_implementation", None) == "sdpa":
            module.attn_implementation = "eager"  # type: ignore[assignment]
