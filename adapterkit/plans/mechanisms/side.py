"""A ladder side network learns beside the backbone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from adapterkit.plans.mechanism import Mechanism, Site
from adapterkit.plans.methods.side import Side
from adapterkit.plans.options import Option, OptionValue, find_option

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel
    from adapterkit.backbones.shape import BackboneShape
    from adapterkit.backbones.weights import Weights


class SideMechanism(Mechanism):
    """A narrow recursive path that reads what the chosen steps make (arXiv 2206.06522).

    A chosen step gets a rung, which mixes its output into the path; the path skips the others. No
    step computes anything else than before, and nothing is back-propagated through any, so that
    the whole backbone is a frozen prefix. That is why nothing else may learn in such a plan.
    """

    name = "side"
    summary = "a rung of the side path"
    removed = "without its rung"
    kind = "side"
    beside = True
    options = (
        Option("r", "reduction_factor", "number", aliases=("reduction_factor",)),
        Option("dropout", "dropout", "fraction"),
    )

    def methods(self, options: Iterable[tuple[str, OptionValue]]) -> tuple[Side]:
        """The path with these options set."""
        fields = {}
        for name, value in options:
            option = find_option(self.options, name)
            assert option is not None
            fields[option.attribute] = float(value)
        return (Side(**fields),)

    def add(self, model: RecursiveAdapterModel, site: Site) -> None:
        """Add the path, with a rung at each of the site's steps."""
        from adapterkit.backbones.side import SidePath
        from adapterkit.plans.parts import encoder_of

        (side,) = self.methods(site.choice.options)
        config = model.config
        encoder_of(model).sides[str(site.side)] = SidePath(
            config, site.steps, side.width(config), side.inner(config), side.dropout
        )

    def added(self, backbone: BackboneShape, site: Site) -> Iterator[Weights]:
        """The rung of each of the site's steps, and what they share."""
        from adapterkit.backbones.weights import Weights

        (side,) = self.methods(site.choice.options)
        for step in site.steps:
            size = side.at_step(backbone)
            yield Weights("rung", (step,), size.learnable, adapter=site.side)
        for kind, size in side.in_common(backbone, len(site.steps)).items():
            yield Weights(kind, site.steps, size.learnable, adapter=site.side)

    def trains(self, weights: Weights, site: Site, total: int) -> bool:
        """The path's own weights."""
        return weights.kind in ("rung", "sides") and weights.adapter == site.side

    def learning(self, model: RecursiveAdapterModel, site: Site) -> Iterator[nn.Parameter]:
        """The path's parameters."""
        from adapterkit.plans.parts import encoder_of

        return encoder_of(model).sides[str(site.side)].parameters()
