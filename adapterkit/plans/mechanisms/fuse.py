"""Frozen adapters of other tasks are fused, and how learns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from adapterkit.plans.mechanism import Mechanism, Site
from adapterkit.plans.methods.bottleneck import Bottleneck
from adapterkit.plans.methods.fusion import Fusion
from adapterkit.plans.options import Option, OptionValue

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel
    from adapterkit.backbones.shape import BackboneShape
    from adapterkit.backbones.weights import Weights
    from adapterkit.plans.choice import Choice


class FuseMechanism(Mechanism):
    """AdapterFusion (Pfeiffer et al. 2021, arXiv 2005.00247) at each step.

    ``n`` adapters of one configuration stand side by side in a step and stay as they are; a layer
    of attention over what they compute learns. Which adapters they are is not the plan's to say:
    they come from packages or runs (`adapterkit.tuning.fusing`), and ship with what learned.
    """

    name = "fuse"
    summary = "attention over frozen adapters"
    removed = "without its fused adapters"
    kind = "fusion"
    takes_config = True
    fuses = True
    configs = ("seq_bn", "double_seq_bn")
    options = (Option("n", "n", "count"),)
    defaults = (("n", 2),)

    def methods(self, options: Iterable[tuple[str, OptionValue]]) -> tuple[Fusion]:
        """The fusion layer with these options set."""
        return (Fusion(int(dict(options)["n"])),)

    def frozen_adapters(self, choice: Choice) -> int:
        """As many as the plan says."""
        return int(dict(choice.options)["n"])

    def add(self, model: RecursiveAdapterModel, site: Site) -> None:
        """Add the adapters and the fusion layers at the site's steps."""
        from adapterkit.plans.task_adapter import add_fusion

        add_fusion(model, site)

    def added(self, backbone: BackboneShape, site: Site) -> Iterator[Weights]:
        """What each of the site's steps gets."""
        from adapterkit.backbones.weights import Weights

        bottleneck, fusion = _methods(site)
        layers = fusion.at_step(backbone).learnable
        layers *= bottleneck.mh_adapter + bottleneck.output_adapter
        part = bottleneck.at_step(backbone)
        for step in site.steps:
            for name in site.fused:
                yield Weights("step_adapter", (step,), part.learnable, part.fixed, adapter=name)
            yield Weights("step_adapter", (step,), layers, adapter=site.adapter)

    def trains(self, weights: Weights, site: Site, total: int) -> bool:
        """The fusion layers."""
        return weights.adapter is not None and weights.adapter == site.adapter

    def learning(self, model: RecursiveAdapterModel, site: Site) -> Iterator[nn.Parameter]:
        """The fusion layers' parameters."""
        from adapterkit.plans.parts import adapter_parameters

        assert site.adapter is not None
        return adapter_parameters(model, site.adapter)


def _methods(site: Site) -> tuple[Bottleneck, Fusion]:
    bottleneck, fusion = site.choice.methods
    assert isinstance(bottleneck, Bottleneck)
    assert isinstance(fusion, Fusion)
    return bottleneck, fusion
