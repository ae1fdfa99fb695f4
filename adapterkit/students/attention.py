"""Attention that can tell its maps."""

from __future__ import annotations

from adapters.models.albert.modeling_albert import (
    AlbertAttentionWithAdapters,
    AlbertSdpaAttentionWithAdapters,
)
from torch import nn
from transformers.models.albert.modeling_albert import AlbertAttention, AlbertSdpaAttention
from transformers.models.bert.modeling_bert import BertSdpaSelfAttention, BertSelfAttention

_WRITTEN_OUT = {
    AlbertSdpaAttentionWithAdapters: AlbertAttentionWithAdapters,
    AlbertSdpaAttention: AlbertAttention,
    BertSdpaSelfAttention: BertSelfAttention,
}


def use_written_out_attention(model: nn.Module) -> None:
    """Let a BERT or a recursive model compute its attention maps, which SDPA never holds.

    Asked for maps, AdapterHub's SDPA layer (adapters 1.3.0) falls back to ALBERT's own attention,
    which leaves out the adapters there without a word: the states would be wrong. The written-out
    layer has the adapters, the same parameters, and computes the same.

    Args:
        model: Changed in place; its parameters, and what it computes, are not.
    """
    for module in model.modules():
        written_out = _WRITTEN_OUT.get(type(module))
        if written_out is not None:
            module.__class__ = written_out
        if getattr(module, "attn_implementation", None) == "sdpa":
            module.attn_implementation = "eager"  # type: ignore[assignment]
