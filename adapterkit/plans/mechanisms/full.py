"""The block's weights learn; steps that are `full` go on sharing what they shared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from adapterkit.plans.mechanism import Mechanism, Site

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel
    from adapterkit.backbones.weights import Weights


class FullMechanism(Mechanism):
    """Where the `full` steps share a block, one copy for them, apart from the frozen ones.

    Steps that have blocks of their own, as a BERT's layers do, keep them. At every step it is the
    paper's full fine-tuning: what is shared stays shared, and embeddings, embedding projection and
    layer-wise adapters learn too.
    """

    name = "full"
    summary = "the block's weights; what these steps share stays shared"
    removed = "the pretrained block again"
    kind = "full"

    def own_blocks(self, steps: Sequence[int], total: int) -> list[list[int]]:
        """The steps together, unless they are all there are."""
        return [list(steps)] if len(steps) < total else []

    def trains(self, weights: Weights, site: Site, total: int) -> bool:
        """The block of the site's steps; the whole backbone if these are all its steps."""
        if len(site.steps) == total:
            return weights.adapter is None and (weights.kind != "pooler" or site.pooled)
        return weights.kind in ("block", "relaxed") and not set(site.steps).isdisjoint(
            weights.steps
        )

    def learning(self, model: RecursiveAdapterModel, site: Site) -> Iterator[nn.Parameter]:
        """The block of the site's steps; the whole backbone if these are all its steps."""
        from adapterkit.plans.parts import backbone_parameters, block_parameters

        if len(site.steps) == model.config.num_hidden_layers:
            yield from backbone_parameters(model, site.pooled)
        else:
            yield from block_parameters(model, site.steps)
