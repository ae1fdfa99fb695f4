"""What every mechanism of a plan tells: what it adds to a step and what learns there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel
    from adapterkit.backbones.shape import BackboneShape
    from adapterkit.backbones.weights import Weights
    from adapterkit.plans.choice import Choice
    from adapterkit.plans.methods.method import Method
    from adapterkit.plans.options import Option, OptionValue


@dataclass(frozen=True)
class Site:
    """Where one choice of a plan is applied.

    Args:
        choice: The mechanism, with its configuration.
        steps: The recursion steps that use it, ascending.
        adapter: Name of the AdapterHub adapter or fusion that learns, if it adds one.
        side: Name of the side path it adds, if it adds one.
        pooled: Whether the task's head reads the backbone's pooler.
    """

    choice: Choice
    steps: tuple[int, ...]
    adapter: str | None = None
    side: str | None = None
    pooled: bool = False

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the frozen adapters that it adds: what learns has its name, they its number."""
        count = self.choice.definition.frozen_adapters(self.choice)
        return tuple(f"{self.adapter}-part{number}" for number in range(1, count + 1))

    @property
    def fused(self) -> tuple[str, ...]:
        """Those of the frozen adapters that a fusion reads."""
        return self.frozen if self.choice.definition.fuses else ()

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of every adapter and fusion that it adds."""
        return (*self.frozen, *([self.adapter] if self.adapter is not None else []))

    @property
    def stack(self) -> tuple[str, ...]:
        """What of them stands in a stack, in this order; what is fused stands inside the fusion."""
        return self.adapters[len(self.fused) :]


class Mechanism(ABC):
    """A way to adapt a recursion step.

    A new mechanism is a subclass in a file of its own under ``mechanisms``, named in the list
    there. Its module must not import torch when it is imported: plans are read without it.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    """What learns at the step, in words."""
    removed: ClassVar[str] = ""
    """What becomes of the step without what learned there, in words; empty if nothing did."""
    kind: ClassVar[str]
    """What mechanisms that want like learning rates have in common."""
    learns: ClassVar[bool] = True
    takes_config: ClassVar[bool] = False
    """Whether it adds an AdapterHub adapter, of a configuration that the plan names."""
    configs: ClassVar[tuple[str, ...]] = ()
    """The only configurations it takes, if not every one."""
    needs_layerwise: ClassVar[bool] = False
    """Whether the backbone must have pretrained layer-wise adapters."""
    beside: ClassVar[bool] = False
    """Whether it learns in a side path, beside a backbone in which nothing may learn."""
    options: ClassVar[tuple[Option, ...]] = ()
    """What plans may set, beside the options of a configuration if it takes one."""
    defaults: ClassVar[tuple[tuple[str, OptionValue], ...]] = ()
    """Options that a plan always names, with what they are where it is not said."""
    fuses: ClassVar[bool] = False
    """Whether what it adds is a fusion of its frozen adapters, not an adapter beside them."""
    on_frozen: ClassVar[bool] = False
    """Whether what it adds stands on a frozen adapter of the same configuration."""

    def methods(self, options: Iterable[tuple[str, OptionValue]]) -> tuple[Method, ...]:
        """What it is made of with some of its options set; most mechanisms have no parts."""
        return ()

    def frozen_adapters(self, choice: Choice) -> int:
        """How many frozen adapters of other runs it adds; most mechanisms add none."""
        return 0

    def own_blocks(self, steps: Sequence[int], total: int) -> list[list[int]]:
        """Sets of steps that leave the block they share for one of their own.

        Args:
            steps: The steps that use this mechanism.
            total: Number of recursion steps of the backbone.
        """
        return []

    def add(self, model: RecursiveAdapterModel, site: Site) -> None:
        """Add the weights that `site` needs to `model`; most mechanisms need none."""
        return None

    def added(self, backbone: BackboneShape, site: Site) -> Iterable[Weights]:
        """What `add` adds, worked out from the backbone's sizes."""
        return ()

    @abstractmethod
    def trains(self, weights: Weights, site: Site, total: int) -> bool:
        """Whether some weights of an adapted model are among those that `learning` yields.

        Args:
            weights: The weights.
            site: Where the mechanism is applied.
            total: Number of recursion steps of the backbone.
        """

    @abstractmethod
    def learning(self, model: RecursiveAdapterModel, site: Site) -> Iterator[nn.Parameter]:
        """The parameters that learn; the same one may come more than once."""
