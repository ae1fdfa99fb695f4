"""A model with a plan applied to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.plans.mechanism import Site
from adapterkit.plans.parts import reads_pooler, stored_tensors, task_head
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError


@dataclass(frozen=True)
class AppliedPlan:
    """What `apply_plan` made of a model.

    Args:
        model: The model. What learns has ``requires_grad``, until another plan is applied to it.
        plan: The plan, every step named.
        name: Name of the task: of the first task adapter, and of the head if there is one so named.
        sites: The plan's different choices with their steps and adapters.
        active: Names of the active adapters and fusions in the order of their `Stack`.
        backbone: Fingerprint of the backbone before the plan was applied.
    """

    model: RecursiveAdapterModel
    plan: StepPlan
    name: str
    sites: tuple[Site, ...]
    active: tuple[str, ...]
    backbone: str

    @property
    def adapter_names(self) -> tuple[str, ...]:
        """The task adapters and fusions the plan added, and the frozen adapters."""
        return tuple(adapter for site in self.sites for adapter in site.adapters)

    @property
    def fusing(self) -> tuple[Site, ...]:
        """Where the plan fuses frozen adapters."""
        return tuple(site for site in self.sites if site.fused)

    @property
    def side(self) -> str | None:
        """The side path the plan added, if it did."""
        return next((site.side for site in self.sites if site.side is not None), None)

    @property
    def head(self) -> str | None:
        """The task's head: the one called `name`, or else the active one; None without a head."""
        return task_head(self.model, self.name)

    def learning(self) -> Iterator[nn.Parameter]:
        """The parameters that learn; the same one may come more than once.

        Raises:
            UserError: A head that reads the pooler was added after the plan, which left it frozen.
        """
        steps = self.model.config.num_hidden_layers
        for site in self.sites:
            whole = site.choice.mechanism == "full" and len(site.steps) == steps
            if whole and not site.pooled and reads_pooler(self.model, self.head):
                raise UserError(
                    f"The head {self.head!r} reads the pooler, which the plan left frozen.",
                    hint="add the head before the plan is applied",
                )
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
