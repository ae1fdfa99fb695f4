"""What the optimiser holds: exactly what the plan chose, each with its rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from adapterkit.backbones.loading import load_backbone
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.decay import undecayed
from adapterkit.plans.ledger import ledger
from adapterkit.plans.step_plan import StepPlan
from adapterkit.tasks.registry import load_task
from adapterkit.tuning.heads import add_head
from adapterkit.tuning.optimiser import make_optimiser, parameter_groups
from adapterkit.tuning.settings import LEARNING_RATES, Settings, resolve_settings

PLANS = {
    "head": {"head"},
    "adapter": {"bottleneck", "head"},
    "0:frozen 1-2:adapter(double_seq_bn)": {"bottleneck", "head"},
    "layerwise": {"layerwise", "head"},
    "lora": {"lora", "head"},
    "dora": {"lora", "head"},
    "krona": {"lora", "head"},
    "0:frozen 1-2:adakron": {"bottleneck", "head"},
    "ia3": {"ia3", "head"},
    "prefix_tuning": {"prefix_tuning", "head"},
    "0-2:adapter(compacter,r=4)": {"compacter", "head"},
    "loreft": {"reft", "head"},
    "scaled_par_bn": {"bottleneck", "head"},
    "unipelt": {"unipelt", "head"},
    "side": {"side", "head"},
    "0,2:side(r=4) 1:frozen": {"side", "head"},
    "full": {"full", "head"},
    "0:frozen 1-2:full": {"full", "head"},
    "0-1:frozen 2:untied": {"full", "head"},
    "0:layerwise 1:adapter(lora) 2:full": {"layerwise", "lora", "full", "head"},
}


def applied_to(backbone: Path, plan: str) -> AppliedPlan:
    model = load_backbone(backbone).model
    applied = apply_plan(model, StepPlan.parse(plan), name="bc5cdr", seed=0)
    add_head(model, load_task("bc5cdr"), "bc5cdr", 0)
    return applied


def settings() -> Settings:
    return resolve_settings(100, 64, {"full"})


def elements(groups: list[dict[str, Any]]) -> int:
    return sum(parameter.numel() for group in groups for parameter in group["params"])


@pytest.mark.parametrize("plan", PLANS)
def test_it_holds_what_the_ledger_counts(plan: str, backbone: Path) -> None:
    applied = applied_to(backbone, plan)
    groups = parameter_groups(applied, settings())
    held = [parameter for group in groups for parameter in group["params"]]
    assert len({id(parameter) for parameter in held}) == len(held)
    assert all(parameter.requires_grad for parameter in held)
    assert {id(p) for p in held} == {id(p) for p in applied.learning()}
    assert elements(torch.optim.AdamW(groups).param_groups) == ledger(applied).trainable > 0
    assert {group["family"] for group in groups} == PLANS[plan]
    assert all(group["lr"] == LEARNING_RATES[group["family"]] for group in groups)


@pytest.mark.parametrize("plan", PLANS)
def test_only_matrices_that_rest_at_zero_decay(plan: str, backbone: Path) -> None:
    applied = applied_to(backbone, plan)
    kept = {id(applied.model.get_parameter(name)) for name in undecayed(applied)}
    names = {id(p): name for name, p in applied.model.named_parameters()}
    for group in parameter_groups(applied, settings()):
        for parameter in group["params"]:
            name = names[id(parameter)]
            vector = parameter.ndim < 2 or name.endswith("bias") or "LayerNorm" in name
            decays = not vector and id(parameter) not in kept
            assert group["weight_decay"] == (0.01 if decays else 0.0), name


@pytest.mark.parametrize("plan", ["ia3", "dora", "loreft", "scaled_par_bn"])
def test_decay_alone_leaves_what_scales_and_rotates(plan: str, backbone: Path) -> None:
    applied = applied_to(backbone, plan)
    optimiser = torch.optim.AdamW(parameter_groups(applied, settings()))
    kept = {name: applied.model.get_parameter(name) for name in undecayed(applied)}
    assert kept
    before = {name: parameter.detach().clone() for name, parameter in kept.items()}
    for parameter in applied.learning():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(3):
        optimiser.step()
    assert all(torch.equal(before[name], parameter) for name, parameter in kept.items())


def test_the_users_rate_is_everybodys(backbone: Path) -> None:
    applied = applied_to(backbone, "0:layerwise 1:adapter(lora) 2:full")
    chosen = resolve_settings(100, 64, {"full"}, learning_rate=7e-4)
    assert {group["lr"] for group in parameter_groups(applied, chosen)} == {7e-4}


def test_fused_updates_are_those_of_adamw(backbone: Path) -> None:
    results = []
    for fused in (True, False):
        applied = applied_to(backbone, "0:layerwise 1:adapter(lora) 2:full")
        optimiser = make_optimiser(applied, settings())
        assert all(group["fused"] for group in optimiser.param_groups)
        if not fused:
            optimiser = torch.optim.AdamW(parameter_groups(applied, settings()))
        generator = torch.Generator().manual_seed(1)
        for _ in range(3):
            for name in applied.trainable:
                parameter = applied.model.get_parameter(name)
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimiser.step()
        results.append([p.detach().clone() for p in applied.learning()])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)
