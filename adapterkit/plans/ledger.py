"""Counting parameters and bytes from storage: what is shared is counted once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch

from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.pruned import mask_of
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.parts import (
    BACKBONE,
    EMBEDDING_ADAPTER,
    HEADS,
    adapter_of,
    side_of,
    steps_by_storage,
    stored_tensors,
)
from adapterkit.plans.shipped import shipped_tensors
from adapterkit.plans.tally import Entry, Ledger, tally


def ledger(applied: AppliedPlan) -> Ledger:
    """Count an adapted model."""
    return tally(_entries(applied), applied.plan.resolve(applied.model.config.num_hidden_layers))


def _entries(applied: AppliedPlan) -> Iterator[Entry]:
    trainable = set(applied.trainable)
    shipped = shipped_tensors(applied)
    used_by = steps_by_storage(applied.model)
    for name, tensor in stored_tensors(applied.model).items():
        part, steps = _owner(applied, name, used_by.get(name, ()))
        yield Entry(
            column=_column(applied, name),
            part=part,
            steps=steps,
            count=_count(applied, name, tensor),
            bytes=tensor.numel() * tensor.element_size(),
            learns=name in trainable,
            ships=name in shipped,
        )


def _count(applied: AppliedPlan, name: str, tensor: torch.Tensor) -> int:
    """How many numbers a stored tensor has to say; of a pruned factor those that are kept."""
    mask = mask_of(applied.model, name)
    return tensor.numel() if mask is None else int(mask.sum())


def _column(
    applied: AppliedPlan, name: str
) -> Literal["backbone", "layerwise", "task", "head"] | None:
    if name.startswith(HEADS):
        return "head" if name.split(".")[1] == applied.head else None
    if (side := side_of(name)) is not None:
        return "task" if side == applied.side else None
    adapter = adapter_of(applied.model, name)
    if adapter == LAYERWISE or name.startswith(EMBEDDING_ADAPTER):
        return "layerwise"
    if adapter not in (None, RELAXED):
        return "task" if adapter in applied.adapter_names else None
    return "backbone" if name.startswith(BACKBONE) else None


def _owner(
    applied: AppliedPlan, name: str, used_by: tuple[int, ...]
) -> tuple[str, tuple[int, ...]]:
    """The part and steps a tensor is listed under; no part means that one step owns it."""
    if name.startswith(EMBEDDING_ADAPTER):
        return "", (0,)
    if len(used_by) == 1:
        return "", used_by
    if name.startswith(HEADS):
        return "head", ()
    adapter = adapter_of(applied.model, name)
    side = side_of(name)
    for site in applied.sites:
        if adapter is not None and site.adapter == adapter:
            return (f"adapter {adapter}", site.steps) if len(site.steps) > 1 else ("", site.steps)
        if side is not None and site.side == side:
            return (f"side {side}", site.steps) if len(site.steps) > 1 else ("", site.steps)
    return ("block", used_by) if used_by else ("embeddings", ())
