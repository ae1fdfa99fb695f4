"""A fresh AdapterHub adapter learns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adapterkit.plans.mechanism import Mechanism, Site

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel
    from adapterkit.backbones.shape import BackboneShape
    from adapterkit.backbones.weights import Weights


class AdapterMechanism(Mechanism):
    """A task adapter of any configuration AdapterHub has for single layers."""

    name = "adapter"
    summary = "a task adapter"
    removed = "without its task adapter"
    kind = "adapter"
    takes_config = True

    def add(self, model: RecursiveAdapterModel, site: Site) -> None:
        """Add the adapter at the site's steps."""
        from adapterkit.plans.task_adapter import add_task_adapter

        add_task_adapter(model, site)

    def added(self, backbone: BackboneShape, site: Site) -> Iterator[Weights]:
        """What each of the site's steps gets, and what they have in common."""
        from adapterkit.backbones.weights import Weights

        for method in site.choice.methods:
            size = method.at_step(backbone)
            for step in site.steps:
                yield Weights(
                    "step_adapter", (step,), size.learnable, size.fixed, adapter=site.adapter
                )
            for kind, size in method.in_common(backbone, len(site.steps)).items():
                yield Weights(kind, site.steps, size.learnable, size.fixed, adapter=site.adapter)

    def trains(self, weights: Weights, site: Site, total: int) -> bool:
        """The adapter's own weights."""
        return weights.adapter is not None and weights.adapter == site.adapter

    def learning(self, model: RecursiveAdapterModel, site: Site) -> Iterator[nn.Parameter]:
        """The adapter's parameters."""
        from adapterkit.plans.parts import adapter_parameters

        assert site.adapter is not None
        return adapter_parameters(model, site.adapter)
