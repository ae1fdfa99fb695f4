"""Where a plan's different choices are applied, and what becomes of the blocks there."""

from __future__ import annotations

from collections.abc import Sequence

from adapterkit.backbones.tying import Sharing
from adapterkit.plans.layout import block_layout
from adapterkit.plans.mechanism import Site
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError


def plan_sites(plan: StepPlan, total: int, name: str, pooled: bool = False) -> tuple[Site, ...]:
    """The different choices of a plan with their steps and what they add, by first step."""
    choices = plan.resolve(total)
    sites: list[Site] = []
    adapters = 0
    for choice in dict.fromkeys(choices):
        steps = tuple(step for step, other in enumerate(choices) if other == choice)
        adapter = None
        if choice.definition.takes_config:
            adapters += 1
            adapter = name if adapters == 1 else f"{name}-{adapters}"
        side = name if choice.definition.beside else None
        sites.append(Site(choice, steps, adapter, side, pooled))
    return tuple(sites)


def untied_blocks(config: Sharing, sites: Sequence[Site]) -> list[int]:
    """For each step, the step whose block it uses once the sites have the blocks they need.

    Args:
        config: Which steps share what now.
        sites: Of a plan for as many steps.

    Raises:
        UserError: Steps would leave a block that an adapter is merged into.
    """
    total = config.num_hidden_layers
    groups = [g for s in sites for g in s.choice.definition.own_blocks(s.steps, total)]
    layout = block_layout(config.block_of_step, groups)
    if layout != list(config.block_of_step) and config.own_parameters:
        raise UserError(
            "An adapter is merged into the backbone's weights.",
            found=", ".join(config.own_parameters),
            hint="undo it with model.reset_adapter() before blocks are untied",
        )
    return layout
