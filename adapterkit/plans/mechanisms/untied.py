"""The block's weights learn, in a copy for each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from adapterkit.plans.mechanism import Mechanism, Site

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel


class UntiedMechanism(Mechanism):
    """A block of its own for each step."""

    name = "untied"
    summary = "the block's weights, a copy of its own"
    kind = "full"

    def own_blocks(self, steps: Sequence[int], total: int) -> list[list[int]]:
        """Each step alone."""
        return [[step] for step in steps]

    def learning(self, model: RecursiveAdapterModel, site: Site) -> Iterator[nn.Parameter]:
        """The block of each of the site's steps."""
        from adapterkit.plans.parts import block_parameters

        return block_parameters(model, site.steps)
