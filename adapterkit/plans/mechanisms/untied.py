"""The block's weights learn, in a copy for each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from adapterkit.plans.mechanism import Mechanism, Site

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel
    from adapterkit.backbones.weights import Weights


class UntiedMechanism(Mechanism):
    """A block of its own for each step."""

    name = "untied"
    summary = "the block's weights, a copy of its own"
    removed = "the pretrained block again"
    kind = "full"

    def own_blocks(self, steps: Sequence[int], total: int) -> list[list[int]]:
        """Each step alone."""
        return [[step] for step in steps]

    def trains(self, weights: Weights, site: Site, total: int) -> bool:
        """The block of each of the site's steps."""
        return weights.kind in ("block", "relaxed") and not set(site.steps).isdisjoint(
            weights.steps
        )

    def learning(self, model: RecursiveAdapterModel, site: Site) -> Iterator[nn.Parameter]:
        """The block of each of the site's steps."""
        from adapterkit.plans.parts import block_parameters

        return block_parameters(model, site.steps)
