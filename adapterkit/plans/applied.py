"""A model with a plan applied to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.plans.mechanism import Site
from adapterkit.plans.parts import stored_tensors
from adapterkit.plans.step_plan import StepPlan


@dataclass(frozen=True)
class AppliedPlan:
    """What `apply_plan` made of a model.

    Args:
        model: The model. What learns has ``requires_grad``, until another plan is applied to it.
        plan: The plan, every step named.
        name: Name of the task: of the first task adapter, and of the head if there is one so named.
        sites: The plan's different choices with their steps and adapters.
        active: Names of the active adapters in the order of their `Stack`.
    """

    model: RecursiveAdapterModel
    plan: StepPlan
    name: str
    sites: tuple[Site, ...]
    active: tuple[str, ...]

    @property
    def adapter_names(self) -> tuple[str, ...]:
        """The task adapters the plan added."""
        return tuple(site.adapter for site in self.sites if site.adapter is not None)

    @property
    def head(self) -> str | None:
        """The task's head: the one called `name`, or else the active one; None without a head."""
        if self.name in self.model.heads:
            return self.name
        active = self.model.active_head
        return active if isinstance(active, str) else None

    def learning(self) -> Iterator[nn.Parameter]:
        """The parameters that learn; the same one may come more than once."""
        for site in self.sites:
            yield from site.choice.definition.learning(self.model, site)
        if self.head is not None:
            yield from self.model.heads[self.head].parameters()

    @property
    def trainable(self) -> tuple[str, ...]:
        """Names of the parameters that learn, each stored one once."""
        learning = {id(parameter) for parameter in self.learning()}
        stored = stored_tensors(self.model)
        return tuple(name for name, tensor in stored.items() if id(tensor) in learning)

    @property
    def block_of_step(self) -> list[int]:
        """For each recursion step, the step whose block it uses."""
        return list(self.model.config.block_of_step)
