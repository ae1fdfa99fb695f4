"""The frozen prefix: the leading recursion steps in which nothing learns, run on their own."""

from __future__ import annotations

from collections.abc import Sequence
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
        The states that `states_above` names, one behind the other: shape (batch, tokens, states
        times hidden). Those at padding mean nothing, and no other one depends on them.
    """
    (states,) = _states_of(model, [states_above(model.base_model)], input_ids, attention_mask)
    return states


def shared_prefix_states(
    models: Sequence[Any], input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> list[torch.Tensor | None]:
    """What the frozen prefixes of several models make of texts, each step run once for all.

    Args:
        models: As for `prefix_states`; what is frozen is the same in all of them.
        input_ids: Word pieces, shape (batch, tokens).
        attention_mask: 0 at padding, shape (batch, tokens).

    Returns:
        For each model what `prefix_states` returns for it, or None where it has no frozen prefix.
    """
    deepest = max(models, key=lambda model: int(model.base_model.frozen_prefix))
    with_prefix = [model.base_model.frozen_prefix > 0 for model in models]
    read = [states_above(m.base_model) for m, has in zip(models, with_prefix, strict=True) if has]
    states = iter(_states_of(deepest, read, input_ids, attention_mask) if read else ())
    return [next(states) if has else None for has in with_prefix]


def _states_of(
    model: Any, read: Sequence[tuple[int, ...]], input_ids: torch.Tensor, mask: torch.Tensor
) -> list[torch.Tensor]:
    """The states with each of these tuples of numbers, side by side."""
    base = model.base_model
    numbers = set().union(*read)
    with torch.no_grad(), ForwardContext(model, input_ids, attention_mask=mask):
        embedded = base.embeddings(input_ids)
        bias = attention_bias(base, mask, embedded)
        several, steps = len(numbers) > 1, range(max(numbers))
        output = base.encoder(embedded, bias, output_hidden_states=several, steps=steps)
        if not several:
            return [output.last_hidden_state for _ in read]
        kept = output.hidden_states
        return [
            torch.cat([kept[i] for i in each], -1) if each[1:] else kept[each[0]] for each in read
        ]


def states_above(base: Any) -> tuple[int, ...]:
    """The states of the frozen prefix that are read above it.

    Args:
        base: A `RecursiveModel`.

    Returns:
        Ascending numbers: state ``i`` is what step ``i`` reads, and the one after the last step
        what that step makes. A side path reads several, a step above the prefix one.
    """
    side = base.encoder.side
    reads: tuple[int, ...] = (base.frozen_prefix,) if side is None else side.reads
    return reads


def steps_run(model: Any, kept: bool) -> torch.nn.Module:
    """The recursion steps that are run for a text.

    Args:
        model: A `RecursiveModel`, or a model over one.
        kept: Whether the states of the frozen prefix are at hand.
    """
    base = model.base_model
    groups: torch.nn.Module = base.encoder.albert_layer_groups[base.frozen_prefix if kept else 0 :]
    return groups


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
