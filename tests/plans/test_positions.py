"""A model asked for some tokens gives what it gives for all, for every mechanism.

So it does where it leaves out padding.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.prefix import prefix_states
from adapterkit.plans.applied import AppliedPlan
from tests.plans.test_contract import CASES, adapted

MakeModel = Callable[..., RecursiveAdapterModel]

LENGTHS = torch.tensor([9, 4, 7, 1])
POSITIONS = torch.tensor([[1, 4, 8], [1, 2, 0], [3, 0, 0], [0, 0, 0]])
SCORED = torch.tensor([3, 2, 1, 1])
IGNORED = -100


def texts() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 100, (4, 9), generator=torch.Generator().manual_seed(3))
    return {"input_ids": ids, "attention_mask": (torch.arange(9) < LENGTHS[:, None]).long()}


def chosen_labels() -> torch.Tensor:
    labels = torch.tensor([[1, 4, 2], [0, 3, 0], [2, 0, 0], [4, 0, 0]])
    return labels.masked_fill(torch.arange(3) >= SCORED[:, None], IGNORED)


def all_labels() -> torch.Tensor:
    labels = torch.full((4, 9), IGNORED)
    for row, count in enumerate(SCORED.tolist()):
        labels[row, POSITIONS[row, :count]] = chosen_labels()[row, :count]
    return labels


def gradients(applied: AppliedPlan, loss: torch.Tensor) -> list[torch.Tensor]:
    learning = list({id(parameter): parameter for parameter in applied.learning()}.values())
    found = torch.autograd.grad(loss, learning, allow_unused=True, materialize_grads=True)
    return list(found)


def without_dropout(model: RecursiveAdapterModel) -> RecursiveAdapterModel:
    """The model in training mode, computing what it computes otherwise."""
    for module in model.train().modules():
        module.p = module.dropout_prob = 0.0
    return model


def check(applied: AppliedPlan) -> None:
    model = without_dropout(applied.model.double())
    batch = texts()
    everything = model(**batch, labels=all_labels())
    expected = everything.logits.gather(1, POSITIONS[..., None].expand(-1, -1, 5))
    with torch.no_grad():
        states = prefix_states(model, **batch)
    whole = gradients(applied, everything.loss)
    for below in (None, states) if model.base_model.frozen_prefix else (None,):
        encoder = model.base_model.encoder
        for encoder.unpads, encoder.row_multiple in ((False, 1), (True, 1), (True, 16)):
            some = model(**batch, states=below, positions=POSITIONS, labels=chosen_labels())
            assert torch.allclose(some.logits, expected, rtol=0, atol=1e-10)
            assert some.loss.item() == pytest.approx(everything.loss.item(), abs=1e-10)
            both = zip(gradients(applied, some.loss), whole, strict=True)
            assert all(torch.allclose(one, other, rtol=0, atol=1e-9) for one, other in both)


@pytest.mark.parametrize(("mechanism", "steps", "layerwise"), CASES)
def test_some_tokens_of_every_mechanism(
    mechanism: str, steps: tuple[int, ...], layerwise: bool, make_model: MakeModel
) -> None:
    check(adapted(make_model(layerwise), mechanism, steps))


@pytest.mark.parametrize("mechanism", ["full", "layerwise", "double_seq_bn", "lora"])
def test_some_tokens_on_a_relaxed_backbone(mechanism: str, make_relaxed: MakeModel) -> None:
    check(adapted(make_relaxed(True), mechanism, (0, 1, 2, 3)))


def rows_of_the_last_step(model: RecursiveAdapterModel) -> list[int]:
    """How many states a text has behind the feed-forward layer of the last step."""
    seen: list[int] = []
    block = model.albert.encoder.blocks()[-1]
    hook = block.ffn_output.register_forward_hook(lambda *call: seen.append(call[2].shape[1]))
    model.eval()(**texts(), positions=POSITIONS)
    hook.remove()
    return seen


@pytest.mark.parametrize(
    ("mechanism", "rows"),
    [
        ("double_seq_bn", 3),
        ("full", 3),
        ("prefix_tuning_flat(prefix_length=3)", 3),
        ("loreft", 9),
        ("unipelt(prefix_length=3,bottleneck_size=8)", 9),
    ],
)
def test_the_last_step_leaves_out_what_nothing_reads(
    mechanism: str, rows: int, make_model: MakeModel
) -> None:
    model = adapted(make_model(True), mechanism, (0, 1, 2, 3)).model
    assert rows_of_the_last_step(model) == [rows]
    assert model(**texts()).logits.shape == (4, 9, 5)


def test_checkpointing_leaves_out_nothing(make_model: MakeModel) -> None:
    applied = adapted(make_model(True), "double_seq_bn", (0, 1, 2, 3))
    model = applied.model.double().eval()
    plain = model(**texts(), positions=POSITIONS, labels=chosen_labels())
    expected = gradients(applied, plain.loss)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    without_dropout(model)
    again = model(**texts(), positions=POSITIONS, labels=chosen_labels())
    assert torch.allclose(again.logits, plain.logits, rtol=0, atol=1e-10)
    for one, other in zip(gradients(applied, again.loss), expected, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-9)


def test_a_head_that_reads_the_first_token(make_model: MakeModel) -> None:
    model = make_model(True)
    model.add_classification_head("texts", num_labels=3)
    model.double().active_head = "texts"
    first = torch.zeros(4, 1, dtype=torch.long)
    with torch.no_grad():
        expected = model.eval()(**texts()).logits
        assert torch.allclose(model(**texts(), positions=first).logits, expected, atol=1e-10)
