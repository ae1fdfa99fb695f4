"""The tensors that a saved result holds: what learned, and what it cannot do without."""

from __future__ import annotations

import torch

from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.parts import adapter_of, side_of, stored_tensors


def shipped_tensors(applied: AppliedPlan) -> dict[str, torch.Tensor]:
    """Every tensor of a saved result, by its name in the model, each stored one once.

    These are the tensors that learn, and all of the task adapters and the task head, what is
    fixed in them (such as ReFT's base of an orthogonal matrix) included. With the backbone they
    make up the adapted model.
    """
    trainable = set(applied.trainable)
    return {
        name: tensor.detach()
        for name, tensor in stored_tensors(applied.model).items()
        if name in trainable or is_task_tensor(applied, name)
    }


def is_task_tensor(applied: AppliedPlan, name: str) -> bool:
    """Whether the tensor of that name belongs to the plan's adapters or side path, or the head."""
    if applied.head is not None and name.startswith(f"heads.{applied.head}."):
        return True
    if (side := side_of(name)) is not None:
        return side == applied.side
    return adapter_of(applied.model, name) in applied.adapter_names
