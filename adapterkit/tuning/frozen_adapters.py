"""Adapters of runs and packages that stay frozen while something learns that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adapterkit.plans.manifest import read_plan_manifest
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from adapterkit.tuning.fusing import fused_plan
from adapterkit.tuning.stacking import stacked_plan

if TYPE_CHECKING:
    import torch

    from adapterkit.plans.applied import AppliedPlan
    from adapterkit.tuning.request import Request

_UNTOLD = {
    "fuse": ("It is not said which adapters are fused.", "two packages or more"),
    "stack": ("It is not said which adapter the new one stands on.", "its package"),
}


def frozen_plan(fuse: Sequence[str], stack: str | None) -> StepPlan | None:
    """The plan that follows from the adapters that are to stay frozen; none if there are none.

    Args:
        fuse: The adapted models whose adapters are fused.
        stack: The adapted model whose adapter another is stacked on.

    Raises:
        UserError: They cannot be fused or stacked on, or both is asked for.
    """
    if fuse and stack is not None:
        raise UserError(
            "--fuse and --stack exclude each other.",
            hint="fuse first, or stack on one package; neither is done to what the other made",
        )
    if fuse:
        return fused_plan(fuse)
    return None if stack is None else stacked_plan(stack)


def check_frozen(plan: StepPlan, request: Request, fingerprint: str, steps: int) -> None:
    """Check that a plan is that of the adapters that stay frozen, and on their backbone.

    Args:
        plan: What is to learn.
        request: Names the adapted models.
        fingerprint: The backbone's.
        steps: Its recursion steps.

    Raises:
        UserError: It is not.
    """
    expected = frozen_plan(request.fuse, request.stack)
    if expected is None:
        for choice in plan.choices:
            if choice.definition.frozen_adapters(choice):
                problem, what = _UNTOLD[choice.mechanism]
                raise UserError(
                    problem,
                    where=f"the plan {plan}",
                    hint=f"name {what} with --{choice.mechanism}, and leave the plan out",
                )
        return
    first = request.frozen[0]
    backbone = read_plan_manifest(Path(first)).backbone
    if backbone != fingerprint:
        raise UserError(
            "The adapters belong to another backbone.",
            where=f"--{'fuse' if request.fuse else 'stack'}: {first}",
            found=f"a backbone with the fingerprint {fingerprint}",
            allowed=backbone,
            hint="name the backbone that they were trained on with --backbone",
        )
    if str(plan.for_steps(steps)) != str(expected):
        raise UserError(
            "The adapters that stay frozen have another plan.",
            where="--plan",
            found=str(plan.for_steps(steps)),
            allowed=str(expected),
            hint="leave the plan out",
        )


def fill_frozen(applied: AppliedPlan, folders: Sequence[str]) -> None:
    """Give the frozen adapters of a plan the weights of adapted models.

    Args:
        applied: The plan; where it has frozen adapters, it has as many as there are folders.
        folders: The adapted models.

    Raises:
        UserError: A file is damaged, or does not hold the adapter's tensors.
    """
    import torch

    for number, folder in enumerate(folders):
        saved = read_plan_manifest(Path(folder))
        for site in applied.sites:
            if not site.frozen:
                continue
            theirs = next(n for n, steps in saved.adapters.items() if steps == list(site.steps))
            found = _tensors(applied, Path(folder), theirs, site.frozen[number])
            with torch.no_grad():
                for target, value in found:
                    target.copy_(value)


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
        name.replace(f".{part}.", f".{theirs}."): tensor
        for name, tensor in shipped_tensors(applied).items()
        if adapter_of(applied.model, name) == part
    }
    compare_shapes(path, shapes_of(found), shapes_of(targets))
    return [(targets[name], value) for name, value in found.items()]
