"""A fresh AdapterHub adapter learns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adapterkit.plans.mechanism import Mechanism, Site

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel


class AdapterMechanism(Mechanism):
    """A task adapter of any configuration AdapterHub has for single layers."""

    name = "adapter"
    summary = "a task adapter"
    kind = "adapter"
    takes_config = True

    def add(self, model: RecursiveAdapterModel, site: Site) -> None:
        """Add the adapter at the site's steps."""
        from adapterkit.plans.task_adapter import add_task_adapter

        add_task_adapter(model, site)

    def learning(self, model: RecursiveAdapterModel, site: Site) -> Iterator[nn.Parameter]:
        """The adapter's parameters."""
        from adapterkit.plans.parts import adapter_parameters

        assert site.adapter is not None
        return adapter_parameters(model, site.adapter)
