"""Nothing learns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adapterkit.plans.mechanism import Mechanism, Site

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel
    from adapterkit.backbones.weights import Weights


class FrozenMechanism(Mechanism):
    """The pretrained step as it is, its layer-wise adapters included."""

    name = "frozen"
    summary = "nothing"
    kind = "frozen"
    learns = False

    def trains(self, weights: Weights, site: Site, total: int) -> bool:
        """No weights learn."""
        return False

    def learning(self, model: RecursiveAdapterModel, site: Site) -> Iterator[nn.Parameter]:
        """No parameter learns."""
        return iter(())
