from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from adapters import Stack

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.plans.apply import apply_plan, check_plan
from adapterkit.plans.decay import undecayed
from adapterkit.plans.layout import block_layout
from adapterkit.plans.ledger import ledger
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from tests.plans.conftest import build, states

MakeModel = Callable[[bool], RecursiveAdapterModel]
Batch = dict[str, torch.Tensor]


def test_one_adapter_for_each_configuration(make_model: MakeModel) -> None:
    model = make_model(True)
    applied = apply_plan(model, StepPlan.parse("0:lora 1:frozen 2:lora(r=4) 3:lora"), name="task")
    assert applied.adapter_names == ("task", "task-2")
    assert [site.steps for site in applied.sites] == [(0, 3), (1,), (2,)]
    assert model.active_adapters == Stack(LAYERWISE, "task", "task-2")
    assert str(applied.plan) == "0:adapter(lora) 1:frozen 2:adapter(lora,r=4) 3:adapter(lora)"


def test_without_adapters_nothing_is_active(make_model: MakeModel) -> None:
    model = make_model(False)
    assert apply_plan(model, StepPlan.parse("full"), name="task").active == ()
    assert model.active_adapters is None


@pytest.mark.parametrize("choice", ["seq_bn", "lora", "compacter(r=8)", "unipelt", "loreft"])
def test_seed_makes_the_weights_and_leaves_the_random_state(
    make_model: MakeModel, choice: str
) -> None:
    plan = StepPlan.parse(choice)
    torch.manual_seed(11)
    expected_draw = torch.rand(1)
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(11)
        applied = apply_plan(make_model(True), plan, name="task", seed=seed)
        assert torch.equal(torch.rand(1), expected_draw)
        made.append({n: applied.model.get_parameter(n) for n in applied.trainable})
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not all(torch.equal(made[0][name], made[2][name]) for name in made[0])


@pytest.mark.parametrize("head_first", [True, False])
def test_head_learns_whenever_it_is_added(make_model: MakeModel, head_first: bool) -> None:
    model = make_model(True)
    if head_first:
        model.add_tagging_head("task", num_labels=3)
    applied = apply_plan(model, StepPlan.parse("seq_bn"), name="task")
    if not head_first:
        model.add_tagging_head("task", num_labels=3)
    assert applied.head == model.active_head == "task"
    assert {"heads.task.1.weight", "heads.task.1.bias"} <= set(applied.trainable)


def test_heads_and_adapters_of_other_tasks_stay_frozen(make_model: MakeModel) -> None:
    model = make_model(True)
    model.add_tagging_head("other", num_labels=3)
    apply_plan(model, StepPlan.parse("lora"), name="other")
    model.add_tagging_head("task", num_labels=3)
    applied = apply_plan(model, StepPlan.parse("full"), name="task")
    assert applied.head == "task"
    assert not any("other" in name for name in applied.trainable)


def test_pooler_learns_only_where_a_head_reads_it(make_model: MakeModel) -> None:
    plan = StepPlan.parse("full")
    tagging, pooled = make_model(True), make_model(True)
    tagging.add_tagging_head("task", num_labels=3)
    pooled.add_classification_head("task", num_labels=3, use_pooler=True)
    assert not [n for n in apply_plan(tagging, plan, name="task").trainable if "pooler" in n]
    assert [n for n in apply_plan(pooled, plan, name="task").trainable if "pooler" in n]


def test_pooler_is_left_to_the_heads_of_other_tasks(make_model: MakeModel, batch: Batch) -> None:
    model = make_model(True)
    model.add_classification_head("other", num_labels=3, use_pooler=True)
    model.add_tagging_head("task", num_labels=5)
    applied = apply_plan(model, StepPlan.parse("full"), name="task")
    counted = ledger(applied)
    model(**batch, labels=batch["input_ids"] % 5).loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    model.add_classification_head("later", num_labels=3, use_pooler=True)
    assert ledger(applied) == counted


def test_a_pooled_head_cannot_follow_a_plan_that_left_the_pooler_frozen(
    make_model: MakeModel,
) -> None:
    model = make_model(True)
    applied = apply_plan(model, StepPlan.parse("full"), name="task")
    model.add_classification_head("task", num_labels=3, use_pooler=True)
    with pytest.raises(UserError, match="add the head before the plan"):
        list(applied.trainable)
    adapted = apply_plan(model, StepPlan.parse("3:lora rest:frozen"), name="task")
    assert "albert.pooler.weight" not in adapted.trainable


def test_full_and_untied_steps_have_copies_apart(make_model: MakeModel) -> None:
    model = make_model(True)
    applied = apply_plan(model, StepPlan.parse("0,2:full 1:untied 3:frozen"), name="task")
    assert applied.block_of_step == [0, 1, 0, 3]


@pytest.mark.parametrize(
    "name", ["train", "keys", "a.b", "", "layerwise", "head", "adapters", "-x", "é", "a/b", "../x"]
)
def test_names_adapterhub_cannot_hold_are_refused(make_model: MakeModel, name: str) -> None:
    model = make_model(True)
    with pytest.raises(UserError, match=r"cannot be called|already"):
        apply_plan(model, StepPlan.parse("lora"), name=name)
    assert list(model.adapters_config.adapters) == [LAYERWISE]


def test_a_name_is_used_once(make_model: MakeModel) -> None:
    model = make_model(True)
    apply_plan(model, StepPlan.parse("lora"), name="task")
    with pytest.raises(UserError, match="already"):
        apply_plan(model, StepPlan.parse("seq_bn"), name="task")


@pytest.mark.parametrize(
    ("plan", "layerwise", "says"),
    [
        ("compacter", True, r"width 32.*try r=8"),
        ("compacter(phm_dim=5)", True, "width 32"),
        ("loreft(r=33)", True, "1 to 32"),
        ("lora(r=33)", True, "rank.*1 to 32"),
        ("unipelt(rank=33)", True, "1 to 32"),
        ("1:direft(r=10000) rest:frozen", True, "steps 1\n.*1 to 32"),
        ("adapter(r=0.49)", True, "bottleneck.*feed-forward.*r=0.5 or more"),
        ("adapter(r=5e-324)", True, "r=0.5 or more"),
        ("compacter(r=1e-300)", False, "r=0.5 or more"),
        ("mam(r=0.1)", False, "r=0.5 or more"),
        ("prefix_tuning(prefix_length=41)", True, "1 to 40"),
        ("unipelt(prefix_length=41)", False, "1 to 40"),
        ("0-1:loreft 2-3:noreft", True, "one ReFT"),
        ("layerwise", False, "no layer-wise adapters"),
        ("0-4:lora", True, "recursion steps 0-3"),
    ],
)
def test_plans_that_do_not_fit_change_nothing(
    make_model: MakeModel, batch: Batch, plan: str, layerwise: bool, says: str
) -> None:
    model = make_model(layerwise)
    before = states(model, batch)
    with pytest.raises(UserError) as caught:
        apply_plan(model, StepPlan.parse(plan), name="task")
    assert re.search(says, str(caught.value), re.DOTALL)
    with pytest.raises(UserError, match=re.escape(str(caught.value))):
        check_plan(model, StepPlan.parse(plan))
    assert "task" not in model.adapters_config.adapters
    assert torch.equal(states(model, batch), before)


def test_layouts() -> None:
    assert block_layout([0, 0, 0, 0], [[2, 3]]) == [0, 0, 2, 2]
    assert block_layout([0, 0, 0, 0], [[0, 2]]) == [0, 1, 0, 1]
    assert block_layout([0, 0, 0, 0], [[1], [3]]) == [0, 1, 0, 3]
    assert block_layout([0, 0, 0, 0], []) == [0, 0, 0, 0]
    # Steps of different blocks hold different weights, so they are not brought together.
    assert block_layout([0, 0, 2, 2], [[1, 2]]) == [0, 1, 2, 3]


@pytest.mark.parametrize("options", [{"block_of_step": [0, 0, 2, 2]}, {"tied": "matrices"}])
@pytest.mark.parametrize("plan", ["1-2:full rest:frozen", "1-2:untied rest:frozen", "full"])
def test_other_layouts_compute_the_same_once_untied(
    batch: Batch, options: dict[str, object], plan: str
) -> None:
    model = build(True, **options)
    before = states(model, batch)
    applied = apply_plan(model, StepPlan.parse(plan), name="task")
    assert torch.equal(states(model, batch), before)
    blocks = model.albert.encoder.blocks()
    learning = [block.ffn.weight.requires_grad for block in blocks]
    assert learning == [choice.mechanism != "frozen" for choice in applied.plan.resolve(4)]
    assert [block.full_layer_layer_norm.weight.requires_grad for block in blocks] == learning


def test_merged_adapters_must_be_reset_before_blocks_are_untied(make_model: MakeModel) -> None:
    model = make_model(True)
    apply_plan(model, StepPlan.parse("1:lora rest:frozen"), name="first")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    model.merge_adapter("first")
    with pytest.raises(UserError, match="merged"):
        apply_plan(model, StepPlan.parse("1:full rest:frozen"), name="second")


@pytest.mark.parametrize(
    ("choice", "count"),
    [("seq_bn", 0), ("lora", 0), ("ia3", 12), ("dora", 8), ("scaled_par_bn", 4), ("loreft", 4)],
)
def test_scales_and_orthogonal_matrices_are_kept_from_decay(
    make_model: MakeModel, choice: str, count: int
) -> None:
    applied = apply_plan(make_model(True), StepPlan.parse(choice), name="task")
    assert len(undecayed(applied)) == count
    assert set(undecayed(applied)) <= set(applied.trainable)


def test_decay_would_destroy_reft(make_model: MakeModel) -> None:
    """Why `undecayed` names what it names."""
    applied = apply_plan(make_model(True), StepPlan.parse("loreft"), name="task")
    (name, *_) = undecayed(applied)
    unit = applied.model.get_submodule(name.partition(".parametrizations")[0])
    assert unit.weight.norm().item() == pytest.approx(1.0)
    with torch.no_grad():
        applied.model.get_parameter(name).mul_(0.999)
    assert unit.weight.norm().item() == 0.0
