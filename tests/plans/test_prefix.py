"""The frozen prefix of a plan: constant, the same for all plans, and a place to start from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.prefix import prefix_states, states_above
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.prefix import frozen_prefix, reads_padding
from adapterkit.plans.step_plan import StepPlan
from tests.plans.conftest import STEPS
from tests.plans.test_contract import MECHANISMS, adapted

MakeModel = Callable[[bool], RecursiveAdapterModel]
Batch = dict[str, torch.Tensor]

PLACEMENTS = ((1, 2), (3,))
KINDS = ("plain", "both")
CASES = [
    pytest.param(mechanism, steps, kind, id=f"{mechanism}-{steps}-{kind}")
    for mechanism in MECHANISMS
    if not mechanism.startswith("side")
    for steps in PLACEMENTS
    for kind in KINDS
    if mechanism != "layerwise" or kind == "both"
]


@pytest.fixture
def make(make_model: MakeModel, make_relaxed: MakeModel) -> Callable[..., RecursiveAdapterModel]:
    """A backbone without pretrained adapters, or with both kinds of them."""
    return lambda kind: make_relaxed(True) if kind == "both" else make_model(False)


@pytest.mark.parametrize(("mechanism", "steps", "kind"), CASES)
def test_contract(
    make: Callable[..., RecursiveAdapterModel],
    batch: Batch,
    mechanism: str,
    steps: tuple[int, ...],
    kind: str,
) -> None:
    applied = adapted(make(kind), mechanism, steps)
    model = applied.model
    assert frozen_prefix(applied) == steps[0] == applied.plan.first_learning_step(STEPS)
    assert model.albert.frozen_prefix == steps[0]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))

    bare = make(kind)
    bare.albert.frozen_prefix = steps[0]
    kept = prefix_states(model, **batch)
    assert torch.equal(kept, prefix_states(bare, **batch)), "the plan changes its frozen prefix"

    mask = batch["attention_mask"]
    if reads_padding(applied):
        assert mechanism.startswith("unipelt")
        return
    labels = batch["input_ids"] % 5
    whole = model(**batch, labels=labels)
    above = model(**batch, states=kept * mask[..., None], labels=labels)
    assert torch.equal(whole.logits[mask.bool()], above.logits[mask.bool()])
    assert torch.equal(whole.loss, above.loss)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("head", STEPS),
        ("full", 0),
        ("untied", 0),
        ("layerwise", 0),
        ("0:layerwise rest:frozen", 0),
        ("0:frozen 1-3:full", 1),
        ("0-1:frozen 2:layerwise 3:adapter(compacter,r=8)", 2),
        ("0:frozen 1-2:adapter(prefix_tuning,prefix_length=3,bottleneck_size=8) 3:lora", 1),
        ("0-2:frozen 3:adapter", 3),
    ],
)
def test_the_lowest_step_that_learns(make_model: MakeModel, plan: str, expected: int) -> None:
    model = make_model(True)
    model.add_tagging_head("task", num_labels=5)
    applied = apply_plan(model, StepPlan.parse(plan), name="task")
    assert frozen_prefix(applied) == expected == model.albert.frozen_prefix


@pytest.mark.parametrize("steps", [(0, 1, 2, 3), *PLACEMENTS, (0, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_beside_a_side_path_every_step_is_frozen(
    make: Callable[..., RecursiveAdapterModel], batch: Batch, steps: tuple[int, ...], kind: str
) -> None:
    applied = adapted(make(kind), "side(r=4)", steps)
    model = applied.model
    assert frozen_prefix(applied) == STEPS == model.albert.frozen_prefix
    assert reads_padding(applied) == ()
    with torch.no_grad():
        for parameter in applied.learning():
            parameter.add_(0.05 * torch.randn_like(parameter))
    bare = make(kind)
    with torch.no_grad():
        states = bare.albert(**batch, output_hidden_states=True).hidden_states
    kept = prefix_states(model, **batch)
    reads = states_above(model.albert)
    assert torch.equal(kept, torch.cat([states[read] for read in reads], dim=-1))
    mask = batch["attention_mask"]
    whole = model(**batch, labels=batch["input_ids"] % 5)
    above = model(**batch, states=kept * mask[..., None], labels=batch["input_ids"] % 5)
    torch.testing.assert_close(whole.logits[mask.bool()], above.logits[mask.bool()])
    model.train()
    assert model.albert.encoder.side.training
    groups = model.albert.encoder.albert_layer_groups
    assert not any(module.training for group in groups for module in group.modules())


def test_a_head_on_frozen_steps_alone(make_model: MakeModel, batch: Batch) -> None:
    model = make_model(True)
    model.add_classification_head("task", num_labels=3)
    apply_plan(model, StepPlan.parse("head"), name="task")
    states = prefix_states(model, **batch)
    assert torch.equal(states, model.albert(**batch).last_hidden_state)
    assert torch.equal(model(**batch).logits, model(**batch, states=states).logits)


def test_dropout_is_above_the_prefix_alone(make_model: MakeModel, batch: Batch) -> None:
    mechanism = "prefix_tuning(prefix_length=3,bottleneck_size=8,dropout=0.5)"
    model = adapted(make_model(True), mechanism, (2,)).model
    constant = prefix_states(model, **batch)
    model.train()
    assert torch.equal(prefix_states(model, **batch), constant)
    assert torch.equal(constant, model.albert(**batch, output_hidden_states=True).hidden_states[2])
    one, other = (model(**batch).logits for _ in range(2))
    assert not torch.equal(one, other)
    # One pool serves all steps, and hangs in the frozen ones too.
    assert all(module.training for module in model.albert.prefix_tuning.modules())
    frozen = model.albert.encoder.albert_layer_groups[:2]
    assert not any(m.training for m in (*frozen, *frozen.children(), model.albert.embeddings))
    model.eval()
    assert not any(module.training for module in model.modules())


def test_without_a_prefix_everything_has_dropout(make_model: MakeModel, batch: Batch) -> None:
    model = adapted(make_model(True), "lora", (0,)).model.train()
    assert all(m.training for m in model.albert.encoder.albert_layer_groups.modules())
    assert model.albert.embeddings.training


def test_no_gradient_reaches_the_prefix(make_model: MakeModel, batch: Batch) -> None:
    model = adapted(make_model(True), "lora", (2,)).model
    assert not prefix_states(model, **batch).requires_grad
    hidden = model.albert(**batch, output_hidden_states=True).hidden_states
    assert [states.requires_grad for states in hidden] == [False, False, False, True, True]


def test_eager_attention_starts_there_too(make_model: MakeModel, batch: Batch) -> None:
    model = adapted(make_model(True), "seq_bn(r=4)", (2,)).model
    model.albert.attn_implementation = "eager"
    mask = batch["attention_mask"]
    states = prefix_states(model, **batch) * mask[..., None]
    whole, above = model(**batch).logits, model(**batch, states=states).logits
    assert torch.equal(whole[mask.bool()], above[mask.bool()])
