"""The adapter of a run or package, frozen, for another to learn on (arXiv 2005.00052)."""

from __future__ import annotations

from pathlib import Path

from adapterkit.plans.choice import Choice
from adapterkit.plans.manifest import PLAN_FILE, read_plan_manifest
from adapterkit.plans.mechanisms import MECHANISMS
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError

_STACK = "stack"


def stacked_plan(folder: str | Path) -> StepPlan:
    """The plan that stacks on an adapted model: where it has an adapter, another of its kind.

    Args:
        folder: The adapted model.

    Raises:
        UserError: It has no adapter, or something other than those that can be stacked on.
    """
    saved = read_plan_manifest(Path(folder))
    choices = StepPlan.parse(saved.plan, saved.steps).resolve(saved.steps)
    allowed = MECHANISMS[_STACK].configs
    learned = [choice for choice in choices if choice.definition.learns]
    if not learned or any(c.mechanism != "adapter" or c.config not in allowed for c in learned):
        raise UserError(
            "Only sequential bottleneck adapters and LoRA can be stacked on.",
            where=f"--stack: {Path(folder) / PLAN_FILE}",
            found=f"the plan {saved.plan}",
            allowed=f"frozen and {' or '.join(f'adapter({name})' for name in allowed)}",
        )
    stacked = [Choice(_STACK, c.config, c.options) if c in learned else c for c in choices]
    clauses = [f"{step}:{choice}" for step, choice in enumerate(stacked)]
    return StepPlan.parse(" ".join(clauses), saved.steps, source="--stack")
