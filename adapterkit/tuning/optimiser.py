"""Which learning rate each parameter gets."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.decay import undecayed
from adapterkit.plans.parts import stored_tensors
from adapterkit.tuning.settings import Settings


def make_optimiser(applied: AppliedPlan, settings: Settings) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`, every update one pass over the parameters."""
    return torch.optim.AdamW(parameter_groups(applied, settings), fused=True)


def parameter_groups(applied: AppliedPlan, settings: Settings) -> list[dict[str, Any]]:
    """AdamW's parameter groups: each learning parameter once, with its mechanism's rate.

    Matrices decay; vectors (biases, LayerNorms) and what `undecayed` names do not. What several
    mechanisms train has the rate of the first.
    """
    families = _families(applied)
    scales = {id(applied.model.get_parameter(name)) for name in undecayed(applied)}
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, tensor in stored_tensors(applied.model).items():
        if isinstance(tensor, nn.Parameter) and tensor.requires_grad:
            family = "head" if name.startswith("heads.") else families[id(tensor)]
            decays = tensor.ndim > 1 and id(tensor) not in scales
            groups.setdefault((family, decays), []).append(tensor)
    return [
        {
            "params": parameters,
            "lr": settings.learning_rates[family],
            "weight_decay": settings.weight_decay if decays else 0.0,
            "family": family,
        }
        for (family, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def _families(applied: AppliedPlan) -> dict[int, str]:
    families: dict[int, str] = {}
    for site in applied.sites:
        for parameter in site.choice.definition.learning(applied.model, site):
            families.setdefault(id(parameter), site.choice.family)
    return families
