"""A ladder side network: a narrow recursive path beside a backbone in which nothing learns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from adapterkit.backbones.config import RecursiveConfig

TEMPERATURE = 0.1
"""Of the gates, as in the paper: it lets them open and shut at the rate the rest learns at."""

_LEAST_HEAD = 16


class Rung(nn.Module):
    """Where the side path reads the backbone: ``mu down(h) + (1 - mu) g``.

    Args:
        hidden: Width of the backbone.
        width: Width of the side path.
    """

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(hidden, width)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, states: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
        """Mix `states` (batch, tokens, hidden) into `side` (batch, tokens, width)."""
        mixed: torch.Tensor = torch.lerp(
            side, self.down(states), torch.sigmoid(self.gate / TEMPERATURE)
        )
        return mixed


class SideBlock(nn.Module):
    """A narrow transformer block, normalised before attention and before the feed-forward.

    Args:
        width: Width of the side path.
        inner: Width of the feed-forward.
        dropout: Share of each sub-block's output that is dropped in training.
        eps: Of the LayerNorms.
    """

    def __init__(self, width: int, inner: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.heads = most_heads(width)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        # The LayerNorm before has a bias; one of keys alone would have no effect.
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_output = nn.Linear(width, width)
        self.ffn_norm = nn.LayerNorm(width, eps=eps)
        self.ffn = nn.Linear(width, inner)
        self.ffn_output = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, side: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Lead `side` (batch, tokens, width) on.

        Args:
            side: The side path's states.
            bias: Added to attention scores, shape (batch, 1, tokens or 1, tokens).
        """
        side = side + self.dropout(self._attend(self.attention_norm(side), bias))
        inner = F.gelu(self.ffn(self.ffn_norm(side)))
        led: torch.Tensor = side + self.dropout(self.ffn_output(inner))
        return led

    def _attend(self, side: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        stacked = self.query_key_value(side).unflatten(-1, (3, self.heads, -1))
        query, key, value = stacked.permute(2, 0, 3, 1, 4)
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        output: torch.Tensor = self.attention_output(read.transpose(1, 2).flatten(2))
        return output


class SidePath(nn.Module):
    """A ladder side network (LST; Sung, Cho and Bansal, arXiv 2206.06522) that is recursive.

    It starts from what the first chosen step reads. After each chosen step its rung mixes that
    step's output ``h`` into the path's state ``g``, and the path's block leads the mixture on::

        g = block(mu down(h) + (1 - mu) g),    mu = sigmoid(gate / T)

    What it ends with is added to the backbone's last state: ``h + up(LayerNorm(g))``, where ``up``
    starts as zero. States of steps that are not chosen are not read, but for the last one.

    The paper gives the path a block for each layer. Here one block serves all rungs, as one block
    serves all steps of the backbone it stands beside, and each rung has a projection and a gate of
    its own. The paper's blocks start as pruned ones of the backbone, this one at random.

    Args:
        config: The backbone's.
        steps: The chosen recursion steps, ascending.
        width: Width of the path.
        inner: Width of its block's feed-forward.
        dropout: Of its block.
    """

    def __init__(
        self,
        config: RecursiveConfig,
        steps: Sequence[int],
        width: int,
        inner: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden, eps = config.hidden_size, config.layer_norm_eps
        self.steps = tuple(steps)
        self.reads = states_read(steps, config.num_hidden_layers)
        self.start = nn.Linear(hidden, width)
        self.rungs = nn.ModuleDict({str(step): Rung(hidden, width) for step in steps})
        self.block = SideBlock(width, inner, dropout, eps)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.up = nn.Linear(width, hidden)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(
        self,
        states: Sequence[torch.Tensor],
        bias: torch.Tensor | None,
        skipped: Collection[int] = (),
    ) -> torch.Tensor:
        """The backbone's last state with what the path adds to it, (batch, tokens, hidden).

        Args:
            states: The backbone's states that `reads` names, each (batch, tokens, hidden).
            bias: Added to attention scores, as in the backbone.
            skipped: Chosen steps that the path passes by, as if they were none.
        """
        read = dict(zip(self.reads, states, strict=True))
        side = self.start(read[self.steps[0]])
        for step in self.steps:
            if step in skipped:
                continue
            side = self.block(self.rungs[str(step)](read[step + 1], side), bias)
        last: torch.Tensor = states[-1] + self.up(self.norm(side))
        return last


def states_read(steps: Sequence[int], total: int) -> tuple[int, ...]:
    """The states of a backbone that a side path at some steps reads.

    Args:
        steps: The steps, ascending.
        total: Number of recursion steps of the backbone.

    Returns:
        Ascending numbers: state ``i`` is what step ``i`` reads, state `total` what the last step
        makes.
    """
    return tuple(sorted({steps[0], *(step + 1 for step in steps), total}))


def most_heads(width: int) -> int:
    """The most attention heads of equal size that a width has room for; small ones see little."""
    fitting = (heads for heads in range(1, width // _LEAST_HEAD + 1) if width % heads == 0)
    return max(fitting, default=1)
