"""Adapters of runs and packages, frozen, for a fusion of them to learn on (arXiv 2005.00247)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adapterkit.plans.choice import Choice
from adapterkit.plans.manifest import PLAN_FILE, PlanManifest, read_plan_manifest
from adapterkit.plans.mechanisms import MECHANISMS
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    import torch

    from adapterkit.plans.applied import AppliedPlan

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


def check_fused(plan: StepPlan, folders: Sequence[str], fingerprint: str, steps: int) -> None:
    """Check that a plan fuses what is given, on the backbone that it is of.

    Args:
        plan: What is to learn.
        folders: The adapted models; none where nothing is fused.
        fingerprint: The backbone's.
        steps: Its recursion steps.

    Raises:
        UserError: It does not.
    """
    if not folders:
        if any(choice.mechanism == _FUSE for choice in plan.choices):
            raise UserError(
                "It is not said which adapters are fused.",
                where=f"the plan {plan}",
                hint="name two packages or more with --fuse, and leave the plan out",
            )
        return
    expected = fused_plan(folders)
    backbone = read_plan_manifest(Path(folders[0])).backbone
    if backbone != fingerprint:
        raise UserError(
            "The adapters belong to another backbone.",
            where=f"--fuse: {folders[0]}",
            found=f"a backbone with the fingerprint {fingerprint}",
            allowed=backbone,
            hint="name the backbone that they were trained on with --backbone",
        )
    if str(plan.for_steps(steps)) != str(expected):
        raise UserError(
            "What is fused has another plan.",
            where="--plan",
            found=str(plan.for_steps(steps)),
            allowed=str(expected),
            hint="leave the plan out",
        )


def fill_fused(applied: AppliedPlan, folders: Sequence[str]) -> None:
    """Give the adapters that a plan fuses the weights of adapted models.

    Args:
        applied: The plan; it fuses as many adapters as there are folders.
        folders: The adapted models.

    Raises:
        UserError: A file is damaged, or does not hold the adapter's tensors.
    """
    import torch

    for number, folder in enumerate(folders):
        saved = read_plan_manifest(Path(folder))
        for site in applied.fusing:
            theirs = next(n for n, steps in saved.adapters.items() if steps == list(site.steps))
            found = _tensors(applied, Path(folder), theirs, site.fused[number])
            with torch.no_grad():
                for target, value in found:
                    target.copy_(value)


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


def _tensors(
    applied: AppliedPlan, folder: Path, theirs: str, part: str
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    from adapterkit.backbones.tensors import compare_shapes, read_safetensors, shapes_of
    from adapterkit.plans.files import ADAPTER_WEIGHTS_FILE
    from adapterkit.plans.parts import adapter_of
    from adapterkit.plans.shipped import shipped_tensors

    path = folder / theirs / ADAPTER_WEIGHTS_FILE
    found = read_safetensors(path)
    targets = {
        name.replace(f".adapters.{part}.", f".adapters.{theirs}."): tensor
        for name, tensor in shipped_tensors(applied).items()
        if adapter_of(applied.model, name) == part
    }
    compare_shapes(path, shapes_of(found), shapes_of(targets))
    return [(targets[name], value) for name, value in found.items()]
