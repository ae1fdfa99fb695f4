"""Counting parameters and bytes from storage: what is shared is counted once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.parts import (
    BACKBONE,
    EMBEDDING_ADAPTER,
    HEADS,
    adapter_of,
    steps_by_storage,
    stored_tensors,
)
from adapterkit.plans.shipped import shipped_tensors


@dataclass(frozen=True)
class StepRow:
    """What one recursion step has to itself.

    Args:
        step: The step.
        mechanism: What adapts it.
        learns: What learns there, in words.
        trainable: Parameters that learn and that no other step uses.
        shipped_bytes: Bytes shipped that no other step uses.
    """

    step: int
    mechanism: str
    learns: str
    trainable: int
    shipped_bytes: int


@dataclass(frozen=True)
class SharedRow:
    """What several steps share, or no step owns.

    Args:
        part: What it is: ``block``, ``adapter NAME``, ``embeddings`` or ``head``.
        steps: The steps that share it; empty where no step owns it.
        trainable: Parameters that learn.
        shipped_bytes: Bytes shipped.
    """

    part: str
    steps: tuple[int, ...]
    trainable: int
    shipped_bytes: int


@dataclass(frozen=True)
class Ledger:
    """Parameters and bytes of an adapted model, each stored tensor once.

    Args:
        backbone: Parameters of embeddings, projection, block copies and pooler, and of the updates
            that the steps of relaxed recursion have.
        layerwise: Parameters of the pretrained layer-wise adapters, the one behind the embeddings
            included.
        task: Parameters (and saved buffers) of the plan's task adapters.
        head: Parameters of the task head.
        trainable: Parameters that learn.
        shipped_bytes: Bytes of the tensors that a saved result holds.
        steps: What each step has to itself.
        shared: What several steps share, or no step owns. Steps and shared rows add up to
            `trainable` and `shipped_bytes`.
    """

    backbone: int
    layerwise: int
    task: int
    head: int
    trainable: int
    shipped_bytes: int
    steps: tuple[StepRow, ...]
    shared: tuple[SharedRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """The ledger as plain values, for ``run.json``."""
        return asdict(self)


def ledger(applied: AppliedPlan) -> Ledger:
    """Count an adapted model."""
    stored = stored_tensors(applied.model)
    trainable = {name: stored[name] for name in applied.trainable}
    shipped = shipped_tensors(applied)
    columns = {name: _column(applied, name) for name in stored}
    steps, shared = _rows(applied, trainable, shipped)
    return Ledger(
        **{
            column: _count(t for name, t in stored.items() if columns[name] == column)
            for column in ("backbone", "layerwise", "task", "head")
        },
        trainable=_count(trainable.values()),
        shipped_bytes=_bytes(shipped.values()),
        steps=steps,
        shared=shared,
    )


def _column(applied: AppliedPlan, name: str) -> str | None:
    if name.startswith(HEADS):
        return "head" if name.split(".")[1] == applied.head else None
    adapter = adapter_of(applied.model, name)
    if adapter == LAYERWISE or name.startswith(EMBEDDING_ADAPTER):
        return "layerwise"
    if adapter not in (None, RELAXED):
        return "task" if adapter in applied.adapter_names else None
    return "backbone" if name.startswith(BACKBONE) else None


def _rows(
    applied: AppliedPlan,
    trainable: Mapping[str, torch.Tensor],
    shipped: Mapping[str, torch.Tensor],
) -> tuple[tuple[StepRow, ...], tuple[SharedRow, ...]]:
    groups: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    used_by = steps_by_storage(applied.model)
    # What learns is shipped, so nothing that is counted is missing here.
    for name in shipped:
        groups.setdefault(_owner(applied, name, used_by.get(name, ())), []).append(name)
    own = {steps[0]: names for (part, steps), names in groups.items() if not part}

    def totals(names: Sequence[str]) -> tuple[int, int]:
        learning = (trainable[name] for name in names if name in trainable)
        return _count(learning), _bytes(shipped[name] for name in names)

    choices = applied.plan.resolve(applied.model.config.num_hidden_layers)
    rows = tuple(
        StepRow(step, str(choice), choice.summary, *totals(own.get(step, ())))
        for step, choice in enumerate(choices)
    )
    shared = tuple(
        SharedRow(part, steps, *totals(names)) for (part, steps), names in groups.items() if part
    )
    return rows, shared


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
    for site in applied.sites:
        if adapter is not None and site.adapter == adapter:
            return (f"adapter {adapter}", site.steps) if len(site.steps) > 1 else ("", site.steps)
    return ("block", used_by) if used_by else ("embeddings", ())


def _count(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
