"""Training in bfloat16: mechanisms learn nearly as in float32, and what is frozen is exact."""

from __future__ import annotations

import pytest
import torch

from adapterkit.plans.applied import AppliedPlan
from tests.plans.test_contract import CASES, adapted
from tests.plans.test_positions import (
    POSITIONS,
    MakeModel,
    chosen_labels,
    gradients,
    texts,
    without_dropout,
)


def learned(
    applied: AppliedPlan, dtype: torch.dtype | None
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    model = without_dropout(applied.model)
    model.base_model.encoder.training_dtype = dtype
    output = model(**texts(), positions=POSITIONS, labels=chosen_labels())
    return output.loss, output.logits, gradients(applied, output.loss)


@pytest.mark.parametrize(("mechanism", "steps", "layerwise"), CASES)
def test_every_mechanism_learns_nearly_the_same(
    mechanism: str, steps: tuple[int, ...], layerwise: bool, make_model: MakeModel
) -> None:
    applied = adapted(make_model(layerwise), mechanism, steps)
    loss, logits, exact = learned(applied, None)
    near_loss, near_logits, near = learned(applied, torch.bfloat16)
    assert near_logits.dtype == torch.float32
    assert near_loss.item() == pytest.approx(loss.item(), rel=0.03)
    assert torch.allclose(
        near_logits, logits, rtol=0, atol=0.1 * float(logits.detach().abs().max())
    )
    assert {gradient.dtype for gradient in near} == {torch.float32}
    ours, theirs = (torch.cat([g.flatten() for g in each]) for each in (near, exact))
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.98


@pytest.mark.parametrize("mechanism", ["full", "layerwise", "double_seq_bn", "lora"])
def test_a_relaxed_backbone_learns_nearly_the_same(mechanism: str, make_relaxed: MakeModel) -> None:
    applied = adapted(make_relaxed(True), mechanism, (0, 1, 2, 3))
    (_, _, exact), (_, _, near) = learned(applied, None), learned(applied, torch.bfloat16)
    ours, theirs = (torch.cat([g.flatten() for g in each]) for each in (near, exact))
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.98


def test_frozen_steps_and_scores_are_exact(make_model: MakeModel) -> None:
    applied = adapted(make_model(True), "double_seq_bn", (2, 3))
    model = without_dropout(applied.model)
    seen: list[torch.Tensor] = []
    for step in (2, 3):
        group = model.base_model.encoder.albert_layer_groups[step]
        group.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    _, logits, _ = learned(applied, None)
    _, near, _ = learned(applied, torch.bfloat16)
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[1].float(), seen[3].float())
    assert not torch.equal(logits, near)
    with torch.no_grad():
        scored = model.eval()(**texts(), positions=POSITIONS).logits
        model.base_model.encoder.training_dtype = None
        assert torch.equal(scored, model(**texts(), positions=POSITIONS).logits)
