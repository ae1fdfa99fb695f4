"""The weights of a model by what they are and which recursion steps use them, without a model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from adapterkit.backbones.pretrained_shapes import (
    layerwise_shapes,
    relaxed_shapes,
)
from adapterkit.backbones.shape import BackboneShape, block_shapes, outer_shapes
from adapterkit.backbones.tying import STEP_PREFIX, shared_groups

Kind = Literal[
    "embeddings",
    "embedding_adapter",
    "block",
    "relaxed",
    "layerwise",
    "rung",
    "sides",
    "pooler",
    "step_adapter",
    "shared_parameters",
    "prefix_tunings",
    "head",
]
KINDS: tuple[str, ...] = get_args(Kind)
"""What weights can be, in the order in which a model stores them.

A side path's are its rungs, which stand at single steps, and ``sides``, what they have in common.
The three before the head are a task adapter's: what stands at single steps, and AdapterHub's two
containers of what the steps of an adapter have in common.
"""


@dataclass(frozen=True)
class Weights:
    """Some weights of a model.

    Args:
        kind: What they are.
        steps: The recursion steps that use them, ascending; empty outside the recursion.
        learnable: How many numbers can learn.
        fixed: How many are stored with them that cannot.
        adapter: The task adapter, or the side path, that they belong to.
    """

    kind: Kind
    steps: tuple[int, ...]
    learnable: int
    fixed: int = 0
    adapter: str | None = None


def backbone_weights(backbone: BackboneShape) -> Iterator[Weights]:
    """The weights of a backbone, its own adapters included, each stored one once."""
    for name, shape in outer_shapes(backbone).items():
        yield Weights(_outer_kind(name), (), math.prod(shape))
    for _, group, size in sorted(_block(backbone)):
        yield Weights("block", group, size)
    # One entry a step: the plan's rows are steps, and no two steps share an adapter's weights.
    for step in range(backbone.num_hidden_layers):
        place = STEP_PREFIX.format(step=step)
        if backbone.relaxed is not None:
            shapes = relaxed_shapes(backbone, backbone.relaxed)
            yield Weights("relaxed", (step,), _total(shapes, place))
        if backbone.layerwise is not None:
            shapes = layerwise_shapes(backbone, backbone.layerwise)
            yield Weights("layerwise", (step,), _total(shapes, place))


def _block(backbone: BackboneShape) -> Iterator[tuple[tuple[int, int], tuple[int, ...], int]]:
    """Each stored parameter of the block: its place in the model's order, its steps, its size."""
    for index, (name, shape) in enumerate(block_shapes(backbone).items()):
        for group in shared_groups(backbone, name):
            yield (group[0], index), tuple(group), math.prod(shape)


def _outer_kind(name: str) -> Kind:
    if name.startswith("encoder.embedding_adapter."):
        return "embedding_adapter"
    return "pooler" if name.startswith("pooler.") else "embeddings"


def _total(shapes: dict[str, tuple[int, ...]], place: str) -> int:
    return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(place))
