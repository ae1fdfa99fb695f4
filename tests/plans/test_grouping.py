"""Several adapted models computed as one equal each of them alone, for every mechanism."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.fusing import fuse_updates
from adapterkit.backbones.prefix import shared_prefix_states
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.grouping import GroupedPlans, group_plans
from adapterkit.plans.step_plan import StepPlan
from tests.plans.conftest import STEPS
from tests.plans.test_contract import CASES, MECHANISMS

MakeModel = Callable[..., RecursiveAdapterModel]

GROUPED = (
    "layerwise",
    "seq_bn",
    "double_seq_bn",
    "par_bn",
    "scaled_par_bn",
    "lora",
    "krona",
    "adakron",
    "ia3",
    "stack",
)
TAGS = (5, 2, 3)


def adapted(model: RecursiveAdapterModel, text: str, seed: int) -> AppliedPlan:
    """A plan whose adapters and head have learned something of their own."""
    model.add_tagging_head("task", num_labels=TAGS[seed])
    applied = apply_plan(model, StepPlan.parse(text), name="task", seed=7)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in {id(p): p for p in applied.learning()}.values():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    model.double().eval()
    return applied


def plan_text(mechanism: str, steps: tuple[int, ...]) -> str:
    rest = " rest:frozen" if len(steps) < STEPS else ""
    return f"{','.join(map(str, steps))}:{mechanism}{rest}"


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    """Word pieces and their mask."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, 100, (4, 9), generator=generator)
    lengths = torch.tensor([9, 4, 7, 1])
    return ids, (torch.arange(9) < lengths[:, None]).long()


POSITIONS = torch.tensor([[1, 4, 8], [1, 2, 3], [3, 0, 0], [0, 0, 0]])


@torch.no_grad()
def alone(applied: AppliedPlan) -> torch.Tensor:
    ids, mask = texts()
    everything = applied.model(ids, attention_mask=mask).logits
    return everything.gather(1, POSITIONS[..., None].expand(-1, -1, everything.shape[-1]))


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(found, expected, rtol=0, atol=1e-10)


@torch.no_grad()
def check(group: GroupedPlans, expected: list[torch.Tensor]) -> None:
    ids, mask = texts()
    for readers in (None, torch.tensor([2, 0, 2, 1]), torch.tensor([1, 1, 1, 1])):
        (states,) = shared_prefix_states([group.model], ids, mask)
        for below in (None, states):
            found = group.logits(ids, mask, POSITIONS, below, readers)
            for index, (logits, wanted) in enumerate(zip(found, expected, strict=True)):
                rows = slice(None) if readers is None else readers == index
                assert logits.shape == wanted[rows].shape
                assert close(logits, wanted[rows])


def can_be_grouped(mechanism: str) -> bool:
    return mechanism.partition("(")[0] in GROUPED


@pytest.mark.parametrize(
    ("mechanism", "steps", "layerwise"),
    [case for case in CASES if can_be_grouped(str(case.values[0]))],
)
def test_a_group_computes_what_each_of_its_models_computes(
    mechanism: str, steps: tuple[int, ...], layerwise: bool, make_model: MakeModel
) -> None:
    text = plan_text(mechanism, steps)
    members = [adapted(make_model(layerwise), text, seed) for seed in range(3)]
    expected = [alone(each) for each in members]
    assert not close(expected[0][..., :2], expected[1])
    group = group_plans(members)
    assert group is not None
    check(group, expected)


@pytest.mark.parametrize("fresh_differ", [True, False])
@pytest.mark.parametrize("layerwise", [True, False])
@pytest.mark.parametrize("config", ["seq_bn", "double_seq_bn", "lora"])
def test_stacks_on_other_frozen_adapters(
    config: str, layerwise: bool, fresh_differ: bool, make_model: MakeModel
) -> None:
    members = []
    for seed in range(3):
        model = make_model(layerwise)
        model.add_tagging_head("task", num_labels=TAGS[seed])
        plan = StepPlan.parse(plan_text(f"stack({config})", (1, 3)))
        members.append(apply_plan(model, plan, name="task", seed=7))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if ".task-part1." in name or (fresh_differ and ".task." in name):
                    parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
                elif ".task." in name:
                    parameter += 0.1
        model.double().eval()
    expected = [alone(each) for each in members]
    group = group_plans(members)
    assert group is not None
    check(group, expected)


@pytest.mark.parametrize("layerwise", [True, False])
@pytest.mark.parametrize("mechanism", [m for m in MECHANISMS if not can_be_grouped(m)])
def test_what_cannot_be_grouped_is_left_as_it_was(
    mechanism: str, layerwise: bool, make_model: MakeModel
) -> None:
    steps = (0, 1, 2, 3) if layerwise else (1, 2)
    text = plan_text(mechanism, steps)
    members = [adapted(make_model(layerwise), text, seed) for seed in range(2)]
    expected = alone(members[0])
    assert group_plans(members) is None
    assert torch.equal(alone(members[0]), expected)


@pytest.mark.parametrize(
    "mechanism",
    [
        "layerwise",
        "double_seq_bn",
        "par_bn",
        "lora",
        "krona",
        "adakron",
        "ia3",
        "stack(double_seq_bn)",
        "stack(lora)",
    ],
)
@pytest.mark.parametrize("steps", [(0, 1, 2, 3), (2,)])
@pytest.mark.parametrize("fused", [True, False])
def test_groups_on_a_relaxed_backbone(
    mechanism: str, steps: tuple[int, ...], fused: bool, make_relaxed: MakeModel
) -> None:
    text = plan_text(mechanism, steps)
    members = [adapted(make_relaxed(True), text, seed) for seed in range(3)]
    expected = [alone(each) for each in members]
    group = group_plans(members)
    assert group is not None
    if fused:
        with torch.no_grad():
            assert fuse_updates(group.model)
    check(group, expected)


def test_models_that_differ_in_heads_alone_share_every_step(make_model: MakeModel) -> None:
    members = [adapted(make_model(True), "head", seed) for seed in range(3)]
    expected = [alone(each) for each in members]
    group = group_plans(members)
    assert group is not None
    check(group, expected)
    rows = []
    group.model.albert.encoder.register_forward_hook(lambda *call: rows.append(len(call[2][0])))
    group.logits(*texts(), POSITIONS)
    assert rows == [len(texts()[0])]


def test_other_plans_and_other_backbones_are_left_apart(make_model: MakeModel) -> None:
    one = adapted(make_model(True), "0:frozen rest:seq_bn", 0)
    assert group_plans([one, adapted(make_model(True), "0-1:frozen rest:seq_bn", 1)]) is None
    assert group_plans([one, adapted(make_model(False), "0:frozen rest:seq_bn", 1)]) is None
