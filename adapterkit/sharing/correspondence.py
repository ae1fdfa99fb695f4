"""Which tensor of one adapted model stands for which of another of the same backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from adapterkit.backbones.loading import Backbone
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.mechanism import Site
from adapterkit.plans.parts import ADAPTER_CONTAINERS, HEADS, adapter_of, steps_by_storage
from adapterkit.runs.errors import UserError
from adapterkit.sharing.manifest import PackageManifest


@dataclass(frozen=True)
class Parent:
    """A loaded package that another is made of.

    Attributes:
        manifest: Its description.
        applied: Its plan on its model.
        backbone: Its backbone, which holds the model.
    """

    manifest: PackageManifest
    applied: AppliedPlan
    backbone: Backbone

    @property
    def digest(self) -> str:
        """Of its description."""
        return self.manifest.digest or ""


def parents_of(new: AppliedPlan, tensor: str, owner: Sequence[int]) -> list[int]:
    """The numbers of the packages that a tensor's steps come from.

    Args:
        new: The model that is made.
        tensor: Name of one of its tensors.
        owner: For every step the number of the package it comes from.
    """
    return list(dict.fromkeys(owner[step] for step in _steps(new, tensor)))


def tensor_of(new: AppliedPlan, tensor: str, parent: Parent) -> torch.Tensor:
    """What a package holds where a model that is made of it has `tensor`.

    Args:
        new: The model that is made.
        tensor: Name of one of its tensors.
        parent: The package.

    Raises:
        UserError: The package has nothing there.
    """
    name = _renamed(new, tensor, parent.applied)
    # With all names of a tensor that steps share, so that each step's is there.
    found: torch.Tensor | None = parent.applied.model.state_dict(keep_vars=True).get(name)
    if found is None:
        raise UserError(
            "The packages do not fit each other.",
            where=parent.manifest.name,
            found=f"no tensor {name}",
            hint="compose packages of the same adapterkit version",
        )
    return found.detach()


def _steps(new: AppliedPlan, tensor: str) -> tuple[int, ...]:
    at_steps = steps_by_storage(new.model).get(tensor)
    if at_steps:
        return at_steps
    site = _site(new, adapter_of(new.model, tensor))
    # What belongs to no step, such as embeddings, belongs to all of them.
    return site.steps if site else tuple(range(new.model.config.num_hidden_layers))


def _renamed(new: AppliedPlan, tensor: str, parent: AppliedPlan) -> str:
    if tensor.startswith(HEADS):
        _, _, rest = tensor.removeprefix(HEADS).partition(".")
        return f"{HEADS}{parent.head}.{rest}"
    adapter = adapter_of(new.model, tensor)
    if adapter not in new.adapter_names:
        return tensor
    site, steps = _site(new, adapter), _steps(new, tensor)
    theirs = next(
        (s.adapter for s in parent.sites if s.adapter and set(steps) & set(s.steps)), adapter
    )
    if site is not None:
        # What a fusion fuses is called after it.
        theirs = f"{theirs}{str(adapter).removeprefix(str(site.adapter))}"
    parts = tensor.split(".")
    for index, container in enumerate(parts[:-1]):
        if container in ADAPTER_CONTAINERS and parts[index + 1] == adapter:
            parts[index + 1] = str(theirs)
    return ".".join(parts)


def _site(applied: AppliedPlan, adapter: str | None) -> Site | None:
    return next((s for s in applied.sites if adapter in s.adapters), None)
