"""Adapters of runs and packages, frozen, for a fusion of them to learn on (arXiv 2005.00247)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapterkit.plans.choice import Choice
from adapterkit.plans.manifest import PLAN_FILE, PlanManifest, read_plan_manifest
from adapterkit.plans.mechanisms import MECHANISMS
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError

_FUSE = "fuse"


def fused_plan(folders: Sequence[str | Path]) -> StepPlan:
    """The plan that fuses adapted models: where they have an adapter it has a fusion of theirs.

    Args:
        folders: The adapted models.

    Raises:
        UserError: There are fewer than two, they are of several backbones or plans, or of a plan
            that has something other than sequential bottlenecks.
    """
    saved = [read_plan_manifest(Path(folder)) for folder in folders]
    if len(saved) < 2:
        raise UserError(
            "A single adapter cannot be fused.",
            where="--fuse",
            found=", ".join(map(str, folders)),
            hint="give --fuse twice or more, or go on from one with --from",
        )
    for what, found in (
        ("backbones", [each.backbone for each in saved]),
        ("plans", [each.plan for each in saved]),
    ):
        for folder, other in zip(folders, found, strict=True):
            if other != found[0]:
                raise UserError(
                    f"Adapters of several {what} cannot be fused.",
                    where=f"--fuse: {Path(folder) / PLAN_FILE}",
                    found=other,
                    allowed=f"{found[0]}, as the first has it",
                )
    choices = StepPlan.parse(saved[0].plan, saved[0].steps).resolve(saved[0].steps)
    clauses = [f"{step}:{_fused(choice, saved)}" for step, choice in enumerate(choices)]
    return StepPlan.parse(" ".join(clauses), saved[0].steps, source="--fuse")


def _fused(choice: Choice, saved: Sequence[PlanManifest]) -> Choice:
    fuse = MECHANISMS[_FUSE]
    if not choice.definition.learns:
        return choice
    if choice.mechanism != "adapter" or choice.config not in fuse.configs:
        raise UserError(
            "Only sequential bottleneck adapters can be fused.",
            where="--fuse",
            found=f"the plan {saved[0].plan}",
            allowed=f"frozen and {' or '.join(f'adapter({name})' for name in fuse.configs)}",
        )
    return Choice(_FUSE, choice.config, (*choice.options, ("n", len(saved))))
