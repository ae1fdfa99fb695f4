"""Plans on backbones of relaxed recursion: as if every step had its matrices to itself."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adapterkit.backbones.adapter_model import LORA_MODULES, RecursiveAdapterModel
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.ledger import ledger
from adapterkit.plans.loading import load_adapted
from adapterkit.plans.saving import save_adapted
from adapterkit.plans.shipped import shipped_tensors
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from tests.plans.conftest import RANK, STEPS, build, states
from tests.plans.test_stacking import backbones, neutralise, plan_for, randomise

MakeModel = Callable[[bool], RecursiveAdapterModel]
Batch = dict[str, torch.Tensor]

UPDATES = RANK * (4 * (32 + 32) + 2 * (32 + 64))
"""Parameters of one step's updates."""

MAIN = (
    "seq_bn",
    "double_seq_bn",
    "lora",
    "prefix_tuning(prefix_length=3,bottleneck_size=8)",
    "loreft",
)
OTHERS = (
    "par_bn",
    "compacter(r=8)",
    "lora(attn=qkv,intermediate=true,output=true,alpha=16)",
    "dora",
    "ia3",
    "unipelt(prefix_length=3,bottleneck_size=8)",
    "direft",
)
CASES = [
    *(
        (choice, where, layerwise)
        for choice in MAIN
        for where in ("0-3", "1", "3")
        for layerwise in (True, False)
    ),
    *((choice, "0,3", True) for choice in OTHERS),
]


@pytest.fixture(scope="module")
def written_out(relaxed_templates: dict[bool, bytes]) -> dict[bool, bytes]:
    """The same backbones, every step's matrices its own with its updates in them."""
    return {
        layerwise: pickle.dumps(_written_out(pickle.loads(template), layerwise))
        for layerwise, template in relaxed_templates.items()
    }


@torch.no_grad()
def _written_out(relaxed: RecursiveAdapterModel, layerwise: bool) -> RecursiveAdapterModel:
    plain = build(layerwise, block_of_step=list(range(STEPS)), tied="none")
    values = relaxed.state_dict()
    for name, parameter in plain.named_parameters():
        parameter.copy_(values[name])
    blocks = (model.albert.encoder.blocks() for model in (plain, relaxed))
    for target, source in zip(*blocks, strict=True):
        for name in LORA_MODULES:
            weight = target.get_submodule(name).weight
            weight += source.get_submodule(name).loras[RELAXED].delta_w
    return plain


@pytest.mark.parametrize(("choice", "steps", "layerwise"), CASES)
def test_a_task_adapter_computes_as_on_steps_of_their_own(
    make_relaxed: MakeModel,
    written_out: dict[bool, bytes],
    batch: Batch,
    choice: str,
    steps: str,
    layerwise: bool,
) -> None:
    relaxed, plain = make_relaxed(layerwise), pickle.loads(written_out[layerwise])
    before = states(relaxed, batch)
    torch.testing.assert_close(before, states(plain, batch), atol=1e-5, rtol=0)
    for model in (relaxed, plain):
        apply_plan(model, plan_for(steps, choice), name="task")
        randomise(model, "task")
    found = states(relaxed, batch)
    assert (found - before).abs().max() > 1e-3
    torch.testing.assert_close(found, states(plain, batch), atol=1e-4, rtol=0)


@pytest.mark.parametrize("choice", ["double_seq_bn", "lora", "ia3", "loreft"])
def test_an_adapter_computing_zero_leaves_the_output(
    make_relaxed: MakeModel, batch: Batch, choice: str
) -> None:
    model = make_relaxed(True)
    before = states(model, batch)
    apply_plan(model, plan_for("0-3", choice), name="task")
    randomise(model, "task")
    assert neutralise(model, "task")
    torch.testing.assert_close(states(model, batch), before, atol=1e-5, rtol=0)


@backbones
@pytest.mark.parametrize(
    "plan", ["head", "0-1:frozen 2-3:full", "untied", "full", "0:lora rest:frozen"]
)
def test_applying_a_plan_alone_changes_nothing(
    make_relaxed: MakeModel, batch: Batch, layerwise: bool, plan: str
) -> None:
    model = make_relaxed(layerwise)
    before = states(model, batch)
    applied = apply_plan(model, StepPlan.parse(plan), name="task")
    torch.testing.assert_close(states(model, batch), before, atol=1e-6, rtol=0)
    names = (RELAXED, LAYERWISE) if layerwise else (RELAXED,)
    assert applied.active[: len(names)] == names


@pytest.mark.parametrize(
    ("plan", "steps"),
    [
        ("full", (0, 1, 2, 3)),
        ("0-1:frozen 2-3:full", (2, 3)),
        ("1:untied rest:frozen", (1,)),
        ("seq_bn", ()),
        ("layerwise", ()),
        ("head", ()),
    ],
)
def test_updates_learn_where_the_block_does(
    make_relaxed: MakeModel, plan: str, steps: tuple[int, ...]
) -> None:
    applied = apply_plan(make_relaxed(True), StepPlan.parse(plan), name="task")
    learning = [name for name in applied.trainable if f".loras.{RELAXED}." in name]
    assert len(learning) == len(steps) * 2 * len(LORA_MODULES)
    for step in steps:
        assert sum(f"albert_layer_groups.{step}." in name for name in learning) == 12
    shipped = {name for name in shipped_tensors(applied) if f".loras.{RELAXED}." in name}
    assert shipped == set(learning)


def test_the_ledger_counts_updates_as_backbone(
    make_relaxed: MakeModel, make_model: Callable[[bool], RecursiveAdapterModel]
) -> None:
    plan = StepPlan.parse("lora")
    with_updates = ledger(apply_plan(make_relaxed(True), plan, name="task"))
    without = ledger(apply_plan(build(True, tied="matrices"), plan, name="task"))
    assert with_updates.backbone == without.backbone + STEPS * UPDATES
    for column in ("layerwise", "task", "head", "trainable", "shipped_bytes"):
        assert getattr(with_updates, column) == getattr(without, column), column


def test_learned_updates_are_shipped_in_their_own_folder(
    make_relaxed: MakeModel, batch: Batch, tmp_path: Path
) -> None:
    applied = apply_plan(make_relaxed(True), StepPlan.parse("1:full rest:frozen"), name="task")
    with torch.no_grad():
        for parameter in dict.fromkeys(applied.learning()):
            parameter.add_(0.1)
    save_adapted(applied, tmp_path / "saved")
    described = json.loads((tmp_path / "saved" / RELAXED / "adapter_config.json").read_text())
    assert described["config"]["leave_out"] == [0, 2, 3]
    assert not (tmp_path / "saved" / LAYERWISE).exists()
    loaded = load_adapted(make_relaxed(True), tmp_path / "saved")
    assert torch.equal(states(loaded.model, batch), states(applied.model, batch))
    other = make_relaxed(True)
    apply_plan(other, StepPlan.parse("lora"), name="first")
    with pytest.raises(UserError, match="changes the backbone"):
        load_adapted(other, tmp_path / "saved", name="second")


def test_a_task_on_other_updates_is_refused(make_relaxed: MakeModel, tmp_path: Path) -> None:
    save_adapted(
        apply_plan(make_relaxed(True), StepPlan.parse("lora"), name="task"), tmp_path / "saved"
    )
    other = make_relaxed(True)
    with torch.no_grad():
        other.albert.encoder.blocks()[2].ffn.loras[RELAXED].lora_A[0, 0] += 1
    with pytest.raises(UserError, match="another backbone"):
        load_adapted(other, tmp_path / "saved")
    with pytest.raises(UserError, match="another backbone"):
        load_adapted(build(True, tied="matrices"), tmp_path / "saved")


def test_the_name_is_taken_on_every_backbone(make_model: MakeModel) -> None:
    with pytest.raises(UserError, match="cannot be called 'relaxed'"):
        apply_plan(make_model(True), StepPlan.parse("lora"), name=RELAXED)
