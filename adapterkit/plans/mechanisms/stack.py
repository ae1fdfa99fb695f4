"""A fresh AdapterHub adapter learns on top of a frozen one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adapterkit.plans.mechanisms.adapter import AdapterMechanism

if TYPE_CHECKING:
    from adapterkit.backbones.adapter_model import RecursiveAdapterModel
    from adapterkit.backbones.shape import BackboneShape
    from adapterkit.backbones.weights import Weights
    from adapterkit.plans.choice import Choice
    from adapterkit.plans.mechanism import Site


class StackMechanism(AdapterMechanism):
    """A task adapter on one that stays as it is (MAD-X: Pfeiffer et al. 2020, arXiv 2005.00052).

    Both have the configuration that the plan names. A bottleneck reads what the frozen one makes;
    the update of a LoRA is added to that of the frozen one. Which adapter is frozen is not the
    plan's to say: it comes from a package or run (`adapterkit.tuning.stacking`), and ships with
    what learned.
    """

    name = "stack"
    summary = "a task adapter on a frozen one"
    removed = "without its stacked adapters"
    configs = ("seq_bn", "double_seq_bn", "lora")
    on_frozen = True

    def frozen_adapters(self, choice: Choice) -> int:
        """One."""
        return 1

    def add(self, model: RecursiveAdapterModel, site: Site) -> None:
        """Add both adapters at the site's steps."""
        from adapterkit.plans.task_adapter import add_stack

        add_stack(model, site)

    def added(self, backbone: BackboneShape, site: Site) -> Iterator[Weights]:
        """What each of the site's steps gets, twice: frozen and learning."""
        from dataclasses import replace

        for weights in super().added(backbone, site):
            for name in site.adapters:
                yield replace(weights, adapter=name)
