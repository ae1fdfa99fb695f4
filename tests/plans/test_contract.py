"""What every mechanism keeps to, at every placement, with and without layer-wise adapters."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.fusing import fused_updates
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.decay import undecayed
from adapterkit.plans.ledger import ledger
from adapterkit.plans.loading import load_adapted
from adapterkit.plans.saving import save_adapted
from adapterkit.plans.step_plan import StepPlan
from tests.plans.conftest import STEPS, bytes_on_disk

MakeModel = Callable[[bool], RecursiveAdapterModel]
Batch = dict[str, torch.Tensor]

MECHANISMS = (
    "layerwise",
    "full",
    "untied",
    "seq_bn(r=4)",
    "double_seq_bn",
    "par_bn",
    "scaled_par_bn",
    "compacter(r=8)",
    "compacter++(r=8)",
    "lora",
    "lora(attn=qkv,intermediate=true,output=true)",
    "dora",
    "krona",
    "krona(factor=4,attn=qkv,intermediate=true,output=true)",
    "adakron(r=4)",
    "ia3",
    "prefix_tuning(prefix_length=3,bottleneck_size=8)",
    "prefix_tuning_flat(prefix_length=3)",
    "mam(prefix_length=3,bottleneck_size=8)",
    "unipelt(prefix_length=3,bottleneck_size=8)",
    "loreft",
    "noreft(suffix_positions=1)",
    "direft(r=2)",
    "side(r=4)",
    "stack(seq_bn,r=4)",
    "stack(double_seq_bn)",
    "stack(lora)",
    "fuse(seq_bn,r=4,n=3)",
    "fuse(double_seq_bn)",
)
PLACEMENTS = {"all": (0, 1, 2, 3), "one": (1,), "middle": (1, 2), "last": (3,)}
BY_DEFAULT = {("all", True), ("all", False), ("one", False), ("middle", True), ("last", True)}
"""Every placement, on one of the backbones; the others take the same paths."""


def marks(where: str, layerwise: bool, by_default: Collection[tuple[str, bool]]) -> Any:
    return () if (where, layerwise) in by_default else pytest.mark.slow


CASES = [
    pytest.param(
        mechanism,
        steps,
        layerwise,
        id=f"{mechanism}-{where}-{layerwise}",
        # What has no case without layer-wise adapters keeps all of its own.
        marks=() if mechanism == "layerwise" else marks(where, layerwise, BY_DEFAULT),
    )
    for mechanism in MECHANISMS
    for where, steps in PLACEMENTS.items()
    for layerwise in (True, False)
    if layerwise or mechanism != "layerwise"
]

FIXED_INPUT = torch.randn(3, 11, 32, generator=torch.Generator().manual_seed(5))


def adapted(model: RecursiveAdapterModel, mechanism: str, steps: tuple[int, ...]) -> AppliedPlan:
    model.add_tagging_head("task", num_labels=5)
    torch.nn.init.normal_(
        model.heads["task"][1].weight, std=0.5, generator=torch.Generator().manual_seed(2)
    )
    rest = " rest:frozen" if len(steps) < STEPS else ""
    plan = StepPlan.parse(f"{','.join(map(str, steps))}:{mechanism}{rest}")
    return apply_plan(model, plan, name="task", seed=7)


@torch.no_grad()
def step_outputs(model: RecursiveAdapterModel, batch: Batch) -> list[torch.Tensor]:
    """What each step makes of one and the same input, inside a forward pass of the model."""
    outputs: list[torch.Tensor] = []
    hooks = []
    for group in model.albert.encoder.albert_layer_groups:
        hooks += [
            group.register_forward_pre_hook(lambda _, args: (FIXED_INPUT, *args[1:])),
            group.register_forward_hook(lambda _m, _a, output: outputs.append(output[0].clone())),
        ]
    model(**batch)
    for hook in hooks:
        hook.remove()
    return outputs


def train(applied: AppliedPlan, batch: Batch, updates: int = 3) -> dict[str, torch.Tensor]:
    """Some AdamW updates; for each parameter that learns its largest gradient."""
    model = applied.model
    kept = set(undecayed(applied))
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    groups = [
        {"params": [p for n, p in learning.items() if n not in kept], "weight_decay": 0.1},
        {"params": [p for n, p in learning.items() if n in kept], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW([group for group in groups if group["params"]], lr=1e-2)
    assert ledger(applied).trainable == sum(
        p.numel() for group in optimiser.param_groups for p in group["params"]
    )
    largest = {name: torch.zeros(()) for name in learning}
    for _ in range(updates):
        optimiser.zero_grad()
        model(**batch, labels=batch["input_ids"] % 5).loss.backward()
        for name, parameter in learning.items():
            assert parameter.grad is not None, name
            largest[name] = torch.maximum(largest[name], parameter.grad.abs().max())
        optimiser.step()
    return largest


def tied_steps(model: RecursiveAdapterModel) -> list[int]:
    """For each step, the first that holds the very same weight."""
    form = model.config.factorised.get("ffn")
    name = "ffn.weight" if form is None else f"ffn.factors.{SHARED_FACTORS[form['form']]}"
    weights = [block.get_parameter(name) for block in model.albert.encoder.blocks()]
    return [next(i for i, w in enumerate(weights) if w is weight) for weight in weights]


@pytest.mark.parametrize(("mechanism", "steps", "layerwise"), CASES)
def test_contract(
    make_model: MakeModel,
    batch: Batch,
    tmp_path: Path,
    mechanism: str,
    steps: tuple[int, ...],
    layerwise: bool,
) -> None:
    assert_contract(make_model, batch, tmp_path, mechanism, steps, layerwise)


RELAXED_BY_DEFAULT = {("all", True), ("one", False), ("last", True)}
RELAXED_CASES = [
    pytest.param(
        mechanism,
        PLACEMENTS[where],
        layerwise,
        id=f"{mechanism}-{where}-{layerwise}",
        marks=() if mechanism == "layerwise" else marks(where, layerwise, RELAXED_BY_DEFAULT),
    )
    for mechanism in (
        "layerwise",
        "full",
        "untied",
        "seq_bn(r=4)",
        "double_seq_bn",
        "lora(attn=qkv,intermediate=true,output=true)",
        "dora",
        "krona(attn=qkv,intermediate=true,output=true)",
        "adakron(r=4)",
        "prefix_tuning(prefix_length=3,bottleneck_size=8)",
        "loreft",
        "side(r=4)",
        "fuse(double_seq_bn)",
        "stack(double_seq_bn)",
        "stack(lora)",
    )
    for where in ("all", "one", "last")
    for layerwise in (True, False)
    if layerwise or mechanism != "layerwise"
]


@pytest.mark.parametrize(("mechanism", "steps", "layerwise"), RELAXED_CASES)
def test_contract_on_relaxed_recursion(
    make_relaxed: MakeModel,
    batch: Batch,
    tmp_path: Path,
    mechanism: str,
    steps: tuple[int, ...],
    layerwise: bool,
) -> None:
    assert_contract(make_relaxed, batch, tmp_path, mechanism, steps, layerwise)


SHARED_FACTORS = {"kronecker": "left", "low_rank": "left", "mpo": "tensor1"}
# One placement of these for each kind of factors by default; the others are slow.
QUICK = (
    "full-one-True",
    "double_seq_bn-last-True",
    "lora(attn=qkv,intermediate=true,output=true)-all-True",
)
FACTORISED_CASES = [
    pytest.param(
        kind,
        *case.values,
        id=f"{kind}-{case.id}",
        marks=() if case.id in QUICK else pytest.mark.slow,
    )
    for kind in SHARED_FACTORS
    for case in RELAXED_CASES
]


@pytest.mark.parametrize(("kind", "mechanism", "steps", "layerwise"), FACTORISED_CASES)
def test_contract_on_factorised_weights(
    make_factorised: Callable[[str, bool], RecursiveAdapterModel],
    batch: Batch,
    tmp_path: Path,
    kind: str,
    mechanism: str,
    steps: tuple[int, ...],
    layerwise: bool,
) -> None:
    make = partial(make_factorised, kind)
    assert_contract(make, batch, tmp_path, mechanism, steps, layerwise)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(steps, id=where, marks=pytest.mark.slow if where == "one" else ())
        for where, steps in PLACEMENTS.items()
    ],
)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_fused_updates_change_no_result(
    make_relaxed: MakeModel, batch: Batch, mechanism: str, steps: tuple[int, ...]
) -> None:
    model = make_relaxed(True)
    applied = adapted(model, mechanism, steps)
    model.double()
    with torch.no_grad():
        for parameter in {*applied.learning()}:
            parameter.add_(0.1 * torch.randn_like(parameter))

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(**batch, labels=batch["input_ids"] % 5).loss.backward()
        return [p.grad.clone() for p in applied.learning() if p.grad is not None]

    def logits() -> torch.Tensor:
        with torch.no_grad():
            scores: torch.Tensor = model(**batch).logits
        return scores

    apart = [*gradients(), logits()]
    with fused_updates(model):
        fused = gradients()
    with torch.no_grad(), fused_updates(model):
        fused.append(logits())
    assert len(apart) > 1
    for one, other in zip(apart, fused, strict=True):
        assert torch.allclose(one, other, rtol=1e-8, atol=1e-12)


def assert_contract(
    make_model: MakeModel,
    batch: Batch,
    tmp_path: Path,
    mechanism: str,
    steps: tuple[int, ...],
    layerwise: bool,
) -> None:
    model = make_model(layerwise)
    applied = adapted(model, mechanism, steps)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    computed = step_outputs(model, batch)
    layout = tied_steps(model)

    gradients = train(applied, batch)

    assert_only_chosen_learn(model, before, applied)
    # A side path stands beside its steps: each computes what it computed before.
    changed = () if mechanism.startswith("side") else steps
    assert_chosen_steps_change(computed, step_outputs(model, batch), changed)
    for name, gradient in gradients.items():
        # Softmax does not see a constant added to all its inputs, so a key's bias has no effect.
        assert gradient > 0 or name.endswith(".key.bias"), name
    assert tied_steps(model) == layout == expected_layout(mechanism, steps)

    assert_saved_and_loaded_the_same(applied, make_model(layerwise), batch, tmp_path / "saved")


MIXTURES = (
    "0:full 1:untied 2:seq_bn 3:layerwise",
    "0:untied 1:full 2:layerwise 3:full",
    "0:frozen 1:untied 2:lora 3:untied",
    "0:layerwise 1:double_seq_bn 2:par_bn 3:double_seq_bn(r=4)",
    "0:loreft 1:full 2:prefix_tuning(prefix_length=3,bottleneck_size=8) 3:compacter++(r=8)",
    "0:ia3 1:dora 2:untied 3:unipelt(prefix_length=3,bottleneck_size=8)",
    "0:fuse(seq_bn,r=4) 1:fuse(double_seq_bn,n=3) 2:lora 3:fuse(seq_bn,r=4)",
    "0:stack(lora) 1:stack(seq_bn,r=4) 2:seq_bn(r=4) 3:stack(double_seq_bn)",
    "0:mam(prefix_length=3,bottleneck_size=8) 1:scaled_par_bn 2:direft(r=2) 3:full",
    "0:krona 1:adakron(r=4) 2:krona(factor=8) 3:layerwise",
)


@pytest.mark.parametrize("layerwise", [True, False])
@pytest.mark.parametrize("text", MIXTURES)
def test_mixtures(
    make_model: MakeModel, batch: Batch, tmp_path: Path, text: str, layerwise: bool
) -> None:
    model = make_model(layerwise)
    text = text if layerwise else text.replace("layerwise", "frozen")
    model.add_tagging_head("task", num_labels=5)
    applied = apply_plan(model, StepPlan.parse(text), name="task", seed=7)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    computed = step_outputs(model, batch)
    layout = tied_steps(model)
    train(applied, batch)
    assert_only_chosen_learn(model, before, applied)
    choices = applied.plan.resolve(STEPS)
    chosen = tuple(step for step, choice in enumerate(choices) if choice.definition.learns)
    assert_chosen_steps_change(computed, step_outputs(model, batch), chosen)
    kinds = [(c.mechanism if c.mechanism == "full" else "") for c in choices]
    groups = [i if c.mechanism == "untied" else kinds[i] for i, c in enumerate(choices)]
    assert tied_steps(model) == layout == [groups.index(group) for group in groups]
    assert_saved_and_loaded_the_same(applied, make_model(layerwise), batch, tmp_path / "saved")


def assert_saved_and_loaded_the_same(
    applied: AppliedPlan, fresh: RecursiveAdapterModel, batch: Batch, directory: Path
) -> None:
    save_adapted(applied, directory)
    assert bytes_on_disk(directory) == ledger(applied).shipped_bytes
    loaded = load_adapted(fresh, directory)
    with torch.no_grad():
        assert torch.equal(loaded.model(**batch).logits, applied.model(**batch).logits)
    assert ledger(loaded) == ledger(applied)


def assert_only_chosen_learn(
    model: nn.Module, before: dict[str, torch.Tensor], applied: AppliedPlan
) -> None:
    learning = {id(model.get_parameter(name)) for name in applied.trainable}
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (id(parameter) in learning), name
        assert torch.equal(parameter, before[name]) != (id(parameter) in learning), name


def assert_chosen_steps_change(
    before: list[torch.Tensor], after: list[torch.Tensor], steps: tuple[int, ...]
) -> None:
    for step, (old, new) in enumerate(zip(before, after, strict=True)):
        assert torch.equal(old, new) == (step not in steps), f"step {step}"


def expected_layout(mechanism: str, steps: tuple[int, ...]) -> list[int]:
    if mechanism == "untied":
        alone = {step: step for step in steps}
    elif mechanism == "full" and len(steps) < STEPS:
        alone = dict.fromkeys(steps, steps[0])
    else:
        return [0] * STEPS
    others = [step for step in range(STEPS) if step not in steps]
    return [alone.get(step, others[0] if others else step) for step in range(STEPS)]


@pytest.mark.parametrize("layerwise", [True, False])
def test_head_alone(make_model: MakeModel, batch: Batch, tmp_path: Path, layerwise: bool) -> None:
    model = make_model(layerwise)
    model.add_tagging_head("task", num_labels=5)
    applied = apply_plan(model, StepPlan.parse("head"), name="task")
    before = step_outputs(model, batch)
    train(applied, batch)
    assert all(name.startswith("heads.task.") for name in applied.trainable)
    assert_chosen_steps_change(before, step_outputs(model, batch), ())
    save_adapted(applied, tmp_path / "saved")
    assert not (tmp_path / "saved" / "weights.safetensors").exists()
    loaded = load_adapted(make_model(layerwise), tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(loaded.model(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize("steps", PLACEMENTS.values(), ids=PLACEMENTS)
@pytest.mark.parametrize("mechanism", ["layerwise", "lora", "full", "untied", "ia3"])
def test_names_of_what_learns_lie_in_the_chosen_steps(
    make_model: MakeModel, mechanism: str, steps: tuple[int, ...]
) -> None:
    applied = adapted(make_model(True), mechanism, steps)
    named = {
        int(match[1])
        for name in applied.trainable
        if (match := re.search(r"albert_layer_groups\.(\d+)\.", name))
    }
    assert named <= set(steps)
    # A block that several steps share is stored under the first of them.
    assert named == set(steps) or mechanism == "full"
