"""Applying a plan to a model: what it adds, what learns, what is active."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from adapters import AdapterConfig, AdapterSetup, Fuse, Stack
from adapters.configuration import ReftConfig
from torch import nn

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.pretrained import FORMS, pretrained_names
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.fitting import check_fit
from adapterkit.plans.mechanism import Site
from adapterkit.plans.parts import (
    adapter_names_of,
    encoder_of,
    has_layerwise,
    reads_pooler,
    task_head,
)
from adapterkit.plans.prefix import set_frozen_prefix
from adapterkit.plans.sites import plan_sites, untied_blocks
from adapterkit.plans.stacking import members, stands_before
from adapterkit.plans.step_plan import StepPlan
from adapterkit.plans.task_adapter import task_adapter_config
from adapterkit.runs.errors import UserError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_RESERVED = ("adapters", "head", "heads", *FORMS)


def apply_plan(
    model: RecursiveAdapterModel, plan: StepPlan, *, name: str, seed: int = 0
) -> AppliedPlan:
    """Add what `plan` asks for, make exactly that learn, and activate it.

    Everything else is frozen. The task head called `name`, or else the active one, learns too; it
    may be added before or after, but before where it reads the pooler and every step is `full`.
    The steps below the lowest that learns become the model's frozen prefix, without dropout.

    Args:
        model: The backbone. It is changed.
        plan: What adapts each recursion step.
        name: Name of the task adapter or side path. A plan with several adapters adds ``name``,
            ``name-2``, ...
        seed: Makes the new weights; the random state outside is left as it was.

    Raises:
        UserError: The plan does not fit the model, or the name cannot be used.
    """
    check_plan(model, plan)
    total = model.config.num_hidden_layers
    resolved = plan.for_steps(total)
    pooled = reads_pooler(model, task_head(model, name))
    sites = plan_sites(resolved, total, name, pooled)
    for adapter in (name, *(adapter for site in sites for adapter in site.adapters)):
        check_name(model, adapter)
    backbone = fingerprint(model)
    _untie(model, sites)
    _add_weights(model, sites, seed)
    applied = AppliedPlan(model, resolved, name, sites, _active_order(model, sites), backbone)
    _set_learning(applied)
    set_frozen_prefix(applied)
    activate(applied)
    return applied


def check_plan(model: RecursiveAdapterModel, plan: StepPlan) -> None:
    """Check that `plan` can be applied to `model`, without applying it.

    Raises:
        UserError: The plan does not fit the model.
    """
    check_fit(plan, model.config, has_layerwise(model))


def activate(applied: AppliedPlan) -> None:
    """Make the adapters or side path of `applied`, and no others, active in its model."""
    encoder_of(applied.model).active_side = applied.side
    if not applied.active:
        applied.model.set_active_adapters(None)
        return
    fusions = {site.adapter: Fuse(*site.fused, name=site.adapter) for site in applied.fusing}
    stack = Stack(*(fusions.get(name, name) for name in applied.active))
    # Inside the setup AdapterHub does not warn that no adapter is active yet.
    with AdapterSetup(stack):
        applied.model.set_active_adapters(stack)
    if applied.head is not None:
        applied.model.active_head = applied.head


def check_name(model: RecursiveAdapterModel, name: str) -> None:
    """Check that an adapter or side path may have this name.

    Raises:
        UserError: The name is taken, or AdapterHub or the file system cannot hold it.
    """
    if name in adapter_names_of(model):
        raise UserError(
            f"The model has an adapter {name!r} already.",
            allowed="a name of its own for each adapter",
            hint="load or add it under another name",
        )
    if name in encoder_of(model).sides:
        raise UserError(
            f"The model has a side path {name!r} already.",
            allowed="a name of its own for each side path",
            hint="load or add it under another name",
        )
    # AdapterHub keeps adapters in ModuleDicts, which cannot hold names of their own attributes.
    if not _NAME.fullmatch(name) or name in _RESERVED or hasattr(nn.ModuleDict(), name):
        raise UserError(
            f"An adapter cannot be called {name!r}.",
            allowed="letters, digits, - and _, and no name that PyTorch or AdapterHub reserves",
            hint=f"call it {re.sub('[^A-Za-z0-9_-]', '_', name).strip('_-') or 'task'}-task",
        )


def _members(model: RecursiveAdapterModel, site: Site) -> list[AdapterConfig]:
    if site.adapter is None:
        return []
    total = model.config.num_hidden_layers
    return members(task_adapter_config(site.choice, site.steps, total, has_layerwise(model)))


def _untie(model: RecursiveAdapterModel, sites: Sequence[Site]) -> None:
    layout = untied_blocks(model.config, sites)
    if layout != model.config.block_of_step:
        model.set_blocks(layout)


def _add_weights(model: RecursiveAdapterModel, sites: Sequence[Site], seed: int) -> None:
    device = model.device
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        for site in sites:
            site.choice.definition.add(model, site)
    model.to(device)


def _active_order(model: RecursiveAdapterModel, sites: Sequence[Site]) -> tuple[str, ...]:
    before: list[str] = []
    after: list[str] = []
    for site in sites:
        if site.adapter is None:
            continue
        parts = _members(model, site)
        if any(isinstance(part, ReftConfig) for part in parts):
            before[:0] = site.stack
        elif any(stands_before(part) for part in parts):
            before.extend(site.stack)
        else:
            after.extend(site.stack)
    return (*before, *pretrained_names(model), *after)


def _set_learning(applied: AppliedPlan) -> None:
    for parameter in applied.model.parameters():
        parameter.requires_grad_(False)
    for parameter in applied.learning():
        parameter.requires_grad_(True)
