"""The pretrained layer-wise adapters learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adapterkit.plans.mechanism import Mechanism, Site

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel
    from adapterkit.backbones.weights import Weights


class LayerwiseMechanism(Mechanism):
    """The layer-wise adapters of the step; with step 0 also the one behind the embeddings."""

    name = "layerwise"
    summary = "the pretrained layer-wise adapters"
    removed = "the pretrained layer-wise adapters again"
    kind = "layerwise"
    needs_layerwise = True

    def trains(self, weights: Weights, site: Site, total: int) -> bool:
        """The layer-wise adapters at the site's steps."""
        if weights.kind == "embedding_adapter":
            return 0 in site.steps
        return weights.kind == "layerwise" and not set(site.steps).isdisjoint(weights.steps)

    def learning(self, model: RecursiveAdapterModel, site: Site) -> Iterator[nn.Parameter]:
        """The parameters of the layer-wise adapters at the site's steps."""
        from adapterkit.backbones.layerwise import LAYERWISE
        from adapterkit.plans.parts import adapter_modules, encoder_of

        for step in site.steps:
            for module in adapter_modules(model, LAYERWISE, step):
                yield from module.parameters()
        embedding_adapter = encoder_of(model).embedding_adapter
        if 0 in site.steps and embedding_adapter is not None:
            yield from embedding_adapter.parameters()
