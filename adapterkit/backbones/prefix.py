"""The frozen prefix: the leading recursion steps in which nothing learns, run on their own."""

from __future__ import annotations

from typing import Any

import torch
from adapters.context import ForwardContext
from transformers.modeling_attn_mask_utils import _prepare_4d_attention_mask_for_sdpa


def prefix_states(
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """What embeddings and frozen prefix make of texts; no gradient is kept.

    Args:
        model: A `RecursiveModel`, or a model over one. Its dropout is as its mode has it.
        input_ids: Word pieces, shape (batch, tokens).
        attention_mask: 0 at padding, shape (batch, tokens).

    Returns:
        The states that the first step above reads, shape (batch, tokens, hidden). Those at padding
        mean nothing, and no other one depends on them.
    """
    base = model.base_model
    with torch.no_grad(), ForwardContext(model, input_ids, attention_mask=attention_mask):
        embedded = base.embeddings(input_ids)
        bias = attention_bias(base, attention_mask, embedded)
        output = base.encoder(embedded, bias, steps=range(base.frozen_prefix))
    states: torch.Tensor = output.last_hidden_state
    return states


def attention_bias(base: Any, attention_mask: torch.Tensor, like: torch.Tensor) -> Any:
    """What attention adds to its scores, made of a mask as `AlbertModel.forward` makes it.

    Args:
        base: A `RecursiveModel`.
        attention_mask: 0 at padding, shape (batch, tokens).
        like: A tensor of the precision that is computed in.

    Returns:
        A tensor (batch, 1, tokens or 1, tokens), or None where SDPA needs none.
    """
    if base.attn_implementation == "sdpa" and base.position_embedding_type == "absolute":
        return _prepare_4d_attention_mask_for_sdpa(
            attention_mask, like.dtype, tgt_len=attention_mask.shape[1]
        )
    shut = 1.0 - attention_mask[:, None, None, :].to(base.dtype)
    return shut * torch.finfo(base.dtype).min


def hold_prefix(base: Any) -> None:
    """Put embeddings and frozen prefix in evaluation mode, and nothing else.

    Args:
        base: A `RecursiveModel` in training mode.
    """
    groups = base.encoder.albert_layer_groups
    for module in (base.embeddings, *groups[: base.frozen_prefix]):
        module.eval()
    for group in groups[base.frozen_prefix :]:
        # AdapterHub hangs one pool of attention prefixes into every step, frozen ones included.
        group.train()
