"""What happens inside transformer layers: attention scores and feed-forward outputs.

KroneckerBERT (arXiv 2109.06243) teaches these besides the states between layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import BertModel

from adapterkit.backbones.bert_layers import layer_module
from adapterkit.backbones.canonical import base_of


@dataclass
class Inner:
    """What each layer, or recursion step, made of a batch, in order.

    Attributes:
        heads: Attention heads of a layer.
        queries: Each (batch, tokens, hidden).
        keys: Each (batch, tokens, hidden).
        feed_forward: Each (batch, tokens, hidden): what the second matrix gives, before residual
            connection and LayerNorm.
    """

    heads: int
    queries: list[torch.Tensor] = field(default_factory=list)
    keys: list[torch.Tensor] = field(default_factory=list)
    feed_forward: list[torch.Tensor] = field(default_factory=list)

    def scores(self, layer: int) -> torch.Tensor:
        """Attention scores before the softmax, ``Q K^T / sqrt(d)``.

        Args:
            layer: From zero.

        Returns:
            Shape (batch, heads, tokens, tokens), without a mask.
        """
        query, key = (self._heads(states[layer]) for states in (self.queries, self.keys))
        scores: torch.Tensor = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        return scores

    def _heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.view(*states.shape[:2], self.heads, -1).transpose(1, 2)


@contextmanager
def watched(model: nn.Module) -> Iterator[Inner]:
    """Collect what the layers of `model` make while the block runs it.

    Args:
        model: A BERT, or a recursive model with or without heads.
    """
    config: Any = model.config
    inner = Inner(int(config.num_attention_heads))
    with ExitStack() as hooks:
        for place in _places(model):
            for name, found in (
                ("attention.query", inner.queries),
                ("attention.key", inner.keys),
                ("ffn_output", inner.feed_forward),
            ):
                handle = place(name).register_forward_hook(_adder(found))
                hooks.callback(handle.remove)
        yield inner


def score_distances(
    ours: Inner, theirs: Inner, layers: Sequence[int], attended: torch.Tensor
) -> torch.Tensor:
    """Mean square difference of attention scores between tokens that are no padding.

    Args:
        ours: The student's.
        theirs: The teacher's.
        layers: The teacher's layer, from one, that each step learns from.
        attended: Shape (batch, tokens): 1 for a token, 0 for padding.

    Returns:
        Shape (steps,).
    """
    pairs = attended[:, None, :, None] * attended[:, None, None, :]
    count = pairs.sum() * ours.heads
    distances = []
    for step, layer in enumerate(layers):
        difference = ours.scores(step).float() - theirs.scores(layer - 1).float()
        distances.append((difference.square() * pairs).sum() / count)
    return torch.stack(distances)


def feed_forward_distances(
    ours: Inner,
    theirs: Inner,
    layers: Sequence[int],
    attended: torch.Tensor,
    projection: nn.Module | None = None,
) -> torch.Tensor:
    """Mean square difference of feed-forward outputs over tokens that are no padding.

    Args:
        ours: The student's.
        theirs: The teacher's.
        layers: The teacher's layer, from one, that each step learns from.
        attended: Shape (batch, tokens): 1 for a token, 0 for padding.
        projection: Leads the student's states to the teacher's size.

    Returns:
        Shape (steps,).
    """
    distances = []
    for own, layer in zip(ours.feed_forward, layers, strict=True):
        target = theirs.feed_forward[layer - 1].float()
        projected = own if projection is None else projection(own)
        squares = (projected.float() - target).square().mean(-1)
        distances.append((squares * attended).sum() / attended.sum())
    return torch.stack(distances)


def _places(model: nn.Module) -> Iterator[Callable[[str], nn.Module]]:
    """For each layer what finds a module of it by the block's name for it."""
    if isinstance(model, BertModel):
        yield from (partial(layer_module, layer) for layer in model.encoder.layer)
    else:
        yield from (block.get_submodule for block in base_of(model).encoder.blocks())


def _adder(found: list[torch.Tensor]) -> Any:
    def add(_: nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        found.append(output)

    return add
