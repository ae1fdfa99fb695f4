"""New packages from others of one backbone: some steps of each, or a weighted sum of all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from adapterkit.backbones.loading import Backbone, load_backbone
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.ledger import ledger
from adapterkit.plans.mistakes import say_steps
from adapterkit.plans.saving import save_adapted
from adapterkit.plans.shipped import shipped_tensors
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.atomic import atomic_directory
from adapterkit.runs.environment import versions
from adapterkit.runs.errors import UserError
from adapterkit.sharing.archive import opened
from adapterkit.sharing.correspondence import Parent, parents_of, tensor_of
from adapterkit.sharing.loading import load_package
from adapterkit.sharing.locating import located
from adapterkit.sharing.manifest import Origin, PackageManifest, mechanisms_of
from adapterkit.sharing.names import check_name
from adapterkit.sharing.packing import seal_folder
from adapterkit.sharing.verifying import verify_package
from adapterkit.tuning.heads import add_head


@dataclass(frozen=True)
class Composition:
    """What a new package is made of.

    Attributes:
        parents: The packages, loaded.
        head: Number of the parent whose task and labels it has.
        plan: Its plan, every step named.
        origin: What it tells of how it came about.
    """

    parents: Sequence[Parent]
    head: int
    plan: StepPlan
    origin: Origin


def splice(
    parts: Sequence[tuple[str | Path, Sequence[int]]],
    output: str | Path,
    *,
    name: str | None = None,
    head: int | None = None,
    backbone: str | Path | None = None,
) -> PackageManifest:
    """Write a package whose steps come from several others.

    Each step computes exactly what it computes in the package it comes from.

    Args:
        parts: Packages, and the recursion steps that come from each; together every step once.
        output: A folder that does not exist yet or is empty.
        name: ``task@plan``; by default made from the packages' names.
        head: Number of the package, from 0, whose task and head it has; by default that of the
            last step.
        backbone: Where their backbone is, if not where the packages say.

    Raises:
        UserError: The packages are of several backbones, a step is missing or named twice, or
            steps that share parameters would come from several packages.
    """
    parents = _loaded([source for source, _ in parts], backbone)
    _refuse_sides(parents)
    total = parents[0].manifest.backbone.steps
    owner = _owners([steps for _, steps in parts], total)
    choices = [parents[owner[step]].applied.plan.resolve(total)[step] for step in range(total)]
    plan = StepPlan.parse(" ".join(f"{step}:{choice}" for step, choice in enumerate(choices)))
    origin = Origin(
        kind="splice",
        parents=tuple(parent.digest for parent in parents),
        steps=tuple(say_steps(tuple(sorted(steps))) for _, steps in parts),
    )
    chosen = owner[-1] if head is None else head
    if not 0 <= chosen < len(parents):
        raise UserError(
            "There is no such package.",
            where="--head",
            found=str(chosen),
            allowed=f"0 to {len(parents) - 1}",
        )
    made = Composition(parents, chosen, plan.for_steps(total), origin)

    def value(new: AppliedPlan, tensor: str) -> torch.Tensor:
        if tensor.startswith("heads."):
            return tensor_of(new, tensor, parents[chosen])
        found = [tensor_of(new, tensor, parents[n]) for n in parents_of(new, tensor, owner)]
        if any(not torch.equal(other, found[0]) for other in found[1:]):
            raise UserError(
                "Steps that share parameters would come from several packages.",
                where=tensor,
                found=f"the plan {made.plan}",
                allowed="steps of one package wherever they share something",
                hint="take all steps of that mechanism from one package",
            )
        return found[0]

    return _write(made, value, output, name or _joined(parents, "spliced"))


def combine(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    weights: Sequence[float] | None = None,
    name: str | None = None,
    backbone: str | Path | None = None,
) -> PackageManifest:
    """Write a package whose tensors are weighted sums of those of others with the same plan.

    Without weights this averages them; others are task arithmetic (Ilharco et al. 2023,
    arXiv:2212.04089) with adapters as task vectors. Where all have the same labels the heads
    are summed too, and otherwise the head is that of the first.

    Args:
        sources: The packages.
        output: A folder that does not exist yet or is empty.
        weights: One for each; by default all the same, adding up to one.
        name: ``task@plan``; by default made from the packages' names.
        backbone: Where their backbone is, if not where the packages say.

    Raises:
        UserError: The packages are of several backbones or plans, or there is not one weight each.
    """
    parents = _loaded(sources, backbone)
    factors = _weights(weights, len(parents))
    plans = {str(parent.applied.plan) for parent in parents}
    if len(plans) > 1:
        raise UserError(
            "Only packages of one plan can be summed.",
            found="; ".join(sorted(plans)),
            hint="splice them by recursion steps instead",
        )
    origin = Origin(
        kind="average" if factors == [1 / len(factors)] * len(factors) else "arithmetic",
        parents=tuple(parent.digest for parent in parents),
        weights=tuple(factors),
    )
    made = Composition(parents, 0, parents[0].applied.plan, origin)
    same_labels = len({parent.manifest.labels for parent in parents}) == 1

    def value(new: AppliedPlan, tensor: str) -> torch.Tensor:
        if tensor.startswith("heads.") and not same_labels:
            return tensor_of(new, tensor, parents[0])
        total = sum(
            factor * tensor_of(new, tensor, parent).double()
            for factor, parent in zip(factors, parents, strict=True)
        )
        assert isinstance(total, torch.Tensor)
        return total

    return _write(made, value, output, name or _joined(parents, "merged"))


def _loaded(sources: Sequence[str | Path], backbone: str | Path | None) -> list[Parent]:
    if len(sources) < 2:
        raise UserError("There is nothing to compose.", allowed="two packages or more")
    parents = []
    for source in sources:
        with opened(located(source)) as folder:
            manifest = verify_package(folder)
            loaded = load_package(folder, backbone=backbone)
        parents.append(Parent(manifest, loaded.applied, loaded.backbone))
    for what in ("fingerprint", "tokenizer"):
        found = [getattr(parent.manifest.backbone, what) for parent in parents]
        for source, other in zip(sources, found, strict=True):
            if other != found[0]:
                raise UserError(
                    "The packages belong to several backbones.",
                    where=f"{source}: {what}",
                    found=other,
                    allowed=f"{found[0]} ({sources[0]})",
                )
    return parents


def _owners(steps: Sequence[Sequence[int]], total: int) -> list[int]:
    """For every step the number of the package it comes from."""
    owner: dict[int, int] = {}
    for number, some in enumerate(steps):
        for step in some:
            if step in owner or not 0 <= step < total:
                problem = "named twice" if step in owner else "none of the backbone's"
                raise UserError(
                    f"Recursion step {step} is {problem}.",
                    allowed=f"each of the steps 0 to {total - 1} once",
                )
            owner[step] = number
    if missing := [step for step in range(total) if step not in owner]:
        raise UserError(
            f"It is not said which package step {missing[0]} comes from.",
            allowed=f"each of the steps 0 to {total - 1} once",
        )
    return [owner[step] for step in range(total)]


def _refuse_sides(parents: Sequence[Parent]) -> None:
    for parent in parents:
        if parent.applied.side is not None:
            raise UserError(
                "A side path cannot be spliced: it is one network beside all steps.",
                where=parent.manifest.name,
                found=parent.manifest.plan,
            )


def _weights(weights: Sequence[float] | None, count: int) -> list[float]:
    if weights is None:
        return [1 / count] * count
    if len(weights) != count or not all(math.isfinite(weight) for weight in weights):
        raise UserError(
            "Every package needs a weight.",
            where="--weights",
            found=", ".join(map(str, weights)),
            allowed=f"{count} numbers",
        )
    return list(weights)


def _joined(parents: Sequence[Parent], how: str) -> str:
    task = parents[-1].manifest.task if how == "spliced" else parents[0].manifest.task
    plans = [parent.manifest.name.partition("@")[2] for parent in parents]
    return f"{task}@{how}-{'-'.join(plans)[:60].rstrip('-.')}"


def _write(
    made: Composition,
    value: Callable[[AppliedPlan, str], torch.Tensor],
    output: str | Path,
    name: str,
) -> PackageManifest:
    head = made.parents[made.head]
    task = head.manifest.config()
    path = head.backbone.path
    backbone = load_backbone(head.backbone.id if path is None else path)
    applied = apply_plan(backbone.model, made.plan, name=head.applied.name)
    add_head(backbone.model, task, head.applied.name, seed=0)
    with torch.no_grad():
        for tensor, target in shipped_tensors(applied).items():
            target.copy_(value(applied, tensor))
    described = _describe(made, applied, backbone, name)
    with atomic_directory(output) as folder:
        save_adapted(applied, folder / "adapted")
        for entry in (folder / "adapted").iterdir():
            entry.rename(folder / entry.name)
        (folder / "adapted").rmdir()
        return seal_folder(folder, described, backbone)


def _describe(
    made: Composition, applied: AppliedPlan, backbone: Backbone, name: str
) -> PackageManifest:
    head = made.parents[made.head].manifest
    counts: dict[str, Any] = ledger(applied).as_dict()
    changes = {
        "name": check_name(name, source="--name"),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "plan": str(made.plan),
        "mechanisms": mechanisms_of(made.plan, backbone.steps),
        # It was not scored itself, and what others scored says little of it.
        "seeds": [],
        "scores": {},
        "metrics": {},
        "origin": made.origin.model_dump(),
        "teacher": None,
        "ledger": {field: counts[field] for field in type(head.ledger).model_fields},
        "versions": versions(),
        "licence": _licence(made.parents),
        "files": {},
        "digest": None,
    }
    return PackageManifest.model_validate_json(json.dumps(head.as_dict() | changes))


def _licence(parents: Sequence[Parent]) -> str:
    licences = dict.fromkeys(parent.manifest.licence for parent in parents)
    return next(iter(licences)) if len(licences) == 1 else "unknown"
