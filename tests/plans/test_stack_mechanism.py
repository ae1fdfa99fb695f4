"""An adapter on a frozen one: what it stands on stays, and what it learns is added."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.step_plan import StepPlan
from tests.plans.conftest import states
from tests.plans.test_stacking import (
    Batch,
    MakeModel,
    backbones,
    placements,
    plan_for,
    randomise,
)

CONFIGS = (
    "seq_bn,r=4",
    "seq_bn,r=4,scaling=learned",
    "double_seq_bn",
    "lora",
    "lora,r=2,alpha=16,attn=qkv,intermediate=true,output=true",
)
configs = pytest.mark.parametrize("config", CONFIGS)


def stacked_on(
    below: AppliedPlan, model: RecursiveAdapterModel, steps: str, config: str
) -> AppliedPlan:
    """The plan ``stack`` on a fresh backbone, its frozen adapters those of `below`."""
    applied = apply_plan(model, plan_for(steps, f"stack({config})"), name="task")
    weights = dict(below.model.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".task-part1." in name:
                parameter.copy_(weights[name.replace(".task-part1.", ".task.")])
    return applied


def assert_nothing_is_lost(make: MakeModel, layerwise: bool, batch: Batch, *plan: str) -> None:
    steps, config = plan
    below = apply_plan(make(layerwise), plan_for(steps, f"adapter({config})"), name="task")
    untouched = states(below.model, batch)
    randomise(below.model, "task")
    expected = states(below.model, batch)
    assert (expected - untouched).abs().max() > 1e-2
    model = make(layerwise)
    applied = stacked_on(below, model, steps, config)
    assert applied.active[-2:] == ("task-part1", "task")
    randomise(model, "task")
    assert (states(model, batch) - expected).abs().max() > 1e-2
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".task." in name and re.search(r"\.(lora_B|adapter_up\.(weight|bias))$", name):
                parameter.zero_()
    torch.testing.assert_close(states(model, batch), expected, atol=1e-5, rtol=0)


@backbones
@placements
@configs
def test_an_adapter_computing_zero_leaves_what_the_frozen_one_computed(
    make_model: MakeModel, batch: Batch, layerwise: bool, steps: str, config: str
) -> None:
    assert_nothing_is_lost(make_model, layerwise, batch, steps, config)


@backbones
@configs
def test_also_on_relaxed_recursion(
    make_relaxed: MakeModel, batch: Batch, layerwise: bool, config: str
) -> None:
    assert_nothing_is_lost(make_relaxed, layerwise, batch, "0,3", config)


@backbones
def test_bottlenecks_read_what_the_frozen_one_made(
    make_model: MakeModel, batch: Batch, layerwise: bool
) -> None:
    """At the output of the last step, where no layer-wise adapter stands, written out."""
    model = make_model(layerwise)
    apply_plan(model, plan_for("3", "stack(seq_bn,r=4)"), name="task")
    randomise(model, "task")
    randomise(model, "task-part1")
    block = model.albert.encoder.blocks()[3]
    assert LAYERWISE not in block.output_adapters.adapters
    seen: dict[str, torch.Tensor] = {}

    def record(name: str) -> Callable[..., None]:
        return lambda _m, args, out: seen.update({name: out, f"{name} in": args[0]})

    block.ffn.register_forward_hook(record("ffn"))
    block.ffn_output.register_forward_hook(record("fed"))
    block.register_forward_hook(lambda _m, _a, out: seen.update(out=out[0]))
    states(model, batch)
    below, above = (block.output_adapters.adapters[n] for n in ("task-part1", "task"))
    norm, residual = block.full_layer_layer_norm, seen["ffn in"]

    def update(adapter: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        return adapter.adapter_up(torch.relu(adapter.adapter_down[0](x)))

    with torch.no_grad():
        if layerwise:
            # Behind LayerNorm, as all bottlenecks of such a backbone.
            made = norm(seen["fed"] + residual)
            made = made + update(below, made)
            expected = made + update(above, made)
        else:
            made = seen["fed"] + update(below, norm(seen["fed"] + residual))
            made = made + update(above, norm(made + residual))
            expected = norm(made + residual)
    torch.testing.assert_close(seen["out"], expected, atol=1e-5, rtol=1e-5)


@backbones
@pytest.mark.parametrize("kind", ["tied", "relaxed"])
def test_updates_of_lora_are_added(
    make_model: MakeModel, make_relaxed: MakeModel, batch: Batch, layerwise: bool, kind: str
) -> None:
    """Two updates are one of twice the rank, whose factors stand side by side."""
    make = make_model if kind == "tied" else make_relaxed
    two, one = make(layerwise), make(layerwise)
    options = "attn=qkv,intermediate=true,output=true"
    apply_plan(two, plan_for("1-2", f"stack(lora,r=2,alpha=4,{options})"), name="task")
    apply_plan(one, plan_for("1-2", f"lora(r=4,alpha=8,{options})"), name="task")
    randomise(two, "task")
    randomise(two, "task-part1")
    found = dict(two.named_parameters())
    with torch.no_grad():
        for name, parameter in one.named_parameters():
            if ".loras.task." in name:
                below = found[name.replace(".task.", ".task-part1.")]
                along = 0 if name.endswith("lora_A") else 1
                parameter.copy_(torch.cat([below, found[name]], dim=along))
    torch.testing.assert_close(states(two, batch), states(one, batch), atol=1e-5, rtol=1e-5)


def test_layerwise_frozen_and_fresh_stand_in_this_order(make_model: MakeModel) -> None:
    applied = apply_plan(make_model(True), StepPlan.parse("stack(seq_bn)"), name="task")
    assert applied.active == (LAYERWISE, "task-part1", "task")
    mixed = "0:stack(lora) 1:par_bn 2:stack(seq_bn) 3:seq_bn"
    applied = apply_plan(make_model(True), StepPlan.parse(mixed), name="task")
    expected = ("task-2", LAYERWISE, "task-part1", "task", "task-3-part1", "task-3", "task-4")
    assert applied.active == expected
    assert all(".task." in n or ".task-" in n for n in applied.trainable)
    assert not any("-part1" in name for name in applied.trainable)
