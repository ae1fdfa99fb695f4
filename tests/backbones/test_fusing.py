"""Each step's own matrix written out, against the matrix and its update computed apart."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from adapters.composition import BatchSplit, Stack
from adapters.configuration import IA3Config, LoRAConfig, SeqBnConfig

from adapterkit.backbones.adapter_model import LORA_MODULES, RecursiveAdapterModel
from adapterkit.backbones.fusing import fuse_updates, fused_updates
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.lora_layers import StepLoRALinear
from adapterkit.backbones.relaxed import RELAXED
from tests.backbones.conftest import batch, output, random_model

STEPS = 4
LORA = LoRAConfig(
    r=2, alpha=6, attn_matrices=["q", "v"], intermediate_lora=True, init_weights="bert"
)
TASKS = {
    "nothing": None,
    "lora": LORA,
    "dora": LORA.replace(use_dora=True),
    "ia3": IA3Config(),
    "bottleneck": SeqBnConfig(reduction_factor=4),
}


def relaxed_model(**changes: Any) -> RecursiveAdapterModel:
    """In double precision, so that only the order of sums tells two ways apart."""
    return random_model(rank=3, tied="matrices", **changes).double()


def linears(model: RecursiveAdapterModel) -> list[StepLoRALinear]:
    return [module for module in model.modules() if isinstance(module, StepLoRALinear)]


def freeze(model: RecursiveAdapterModel, *learning: str) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in learning))


def spoil(model: RecursiveAdapterModel) -> None:
    """Change what the written-out matrices hold, so that using them shows."""
    for linear in linears(model):
        if linear.written_out is not None:
            linear.written_out.mul_(1.5)


@pytest.mark.parametrize("layerwise", [True, False])
@pytest.mark.parametrize("task", TASKS)
def test_what_is_computed_stays(task: str, layerwise: bool) -> None:
    model = relaxed_model(layerwise=layerwise)
    pretrained = (RELAXED, LAYERWISE) if layerwise else (RELAXED,)
    if (config := TASKS[task]) is not None:
        model.add_adapter("task", config=config)
        model.double()
        model.active_adapters = Stack(*pretrained, "task")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "task" in name:
                    parameter.add_(0.3 * torch.randn_like(parameter))
    slow = output(model)
    with torch.no_grad(), fused_updates(model):
        fast = output(model)
        spoil(model)
        spoilt = output(model)
    assert (fast - slow).abs().max() < 1e-12
    assert (spoilt - slow).abs().max() > 1e-3
    assert torch.equal(output(model), slow)
    assert all(linear.written_out is None for linear in linears(model))


@pytest.mark.parametrize("task", [task for task in TASKS if task != "nothing"])
def test_gradients_stay(task: str) -> None:
    model = relaxed_model()
    model.add_adapter("task", config=TASKS[task])
    model.double()
    model.active_adapters = Stack(RELAXED, LAYERWISE, "task")
    freeze(model, "task")

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(**batch()).last_hidden_state.square().mean().backward()
        found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        assert found
        return found

    slow = gradients()
    with fused_updates(model):
        assert all(linear.written_out is not None for linear in linears(model))
        fast = gradients()
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-14) for a, b in zip(slow, fast, strict=True))


@pytest.mark.parametrize("learning", [RELAXED, "ffn.weight"])
def test_what_learns_is_left_alone_where_gradients_are_taken(learning: str) -> None:
    model = relaxed_model()
    freeze(model, learning)
    with fused_updates(model):
        learns = {RELAXED: set(LORA_MODULES), "ffn.weight": {"ffn"}}[learning]
        fused = {linear.block_name for linear in linears(model) if linear.written_out is not None}
        assert fused == set(LORA_MODULES) - learns
        model(**batch()).last_hidden_state.sum().backward()
        assert all(p.grad is not None for n, p in model.named_parameters() if learning in n)
        with torch.no_grad(), fused_updates(model):
            assert all(linear.written_out is not None for linear in linears(model))
        assert fused == {lin.block_name for lin in linears(model) if lin.written_out is not None}


def test_a_matrix_that_begins_to_learn_is_not_taken_as_it_was() -> None:
    model = relaxed_model()
    freeze(model)
    fuse_updates(model)
    freeze(model, "ffn.weight")
    model(**batch()).last_hidden_state.sum().backward()
    weight = model.albert.encoder.blocks()[0].get_parameter("ffn.weight")
    assert weight.grad is not None


def test_without_the_update_active_it_is_left_out() -> None:
    model = relaxed_model(layerwise=False)
    model.add_adapter("task", config=LORA)
    model.double()
    for active in (None, Stack("task"), BatchSplit("task", "task", batch_sizes=[1, 1])):
        model.active_adapters = active
        slow = output(model)
        with torch.no_grad(), fused_updates(model):
            spoil(model)
            assert torch.equal(output(model), slow)


def test_a_merged_model_is_left_alone() -> None:
    model = relaxed_model()
    model.merge_adapter(RELAXED)
    slow = output(model)
    with torch.no_grad(), fused_updates(model):
        assert all(linear.written_out is None for linear in linears(model))
        assert torch.equal(output(model), slow)


def test_matrices_follow_their_model() -> None:
    model = relaxed_model()
    slow = output(model)
    with torch.no_grad():
        fuse_updates(model)
    assert fuse_updates(model) == []
    copied = copy.deepcopy(model).float()
    assert output(copied).dtype == torch.float32
    assert (output(copied) - slow).abs().max() < 1e-4
    assert model.state_dict().keys() == relaxed_model().state_dict().keys()


def test_an_error_inside_leaves_nothing_behind() -> None:
    model = relaxed_model()
    with pytest.raises(KeyError), torch.no_grad(), fused_updates(model):
        raise KeyError
    assert all(linear.written_out is None for linear in linears(model))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("learning", [("",), (RELAXED,), ("ffn.weight",)])
def test_what_learns_is_computed_as_one_matrix(
    task: str, learning: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = relaxed_model()
    if (config := TASKS[task]) is not None:
        model.add_adapter("task", config=config)
        model.double()
        model.active_adapters = Stack(RELAXED, LAYERWISE, "task")
    freeze(model, *learning)
    written = []
    relaxed_weight = StepLoRALinear._relaxed_weight

    def counted(linear: StepLoRALinear) -> torch.Tensor:
        written.append(linear)
        return relaxed_weight(linear)

    monkeypatch.setattr(StepLoRALinear, "_relaxed_weight", counted)
    fast, fast_gradients = _with_gradients(model)
    assert written
    with monkeypatch.context() as patch:
        patch.setattr(StepLoRALinear, "_own_weight", lambda *_: None)
        slow, slow_gradients = _with_gradients(model)
    assert (fast - slow).abs().max() < 1e-12
    assert fast_gradients.keys() == slow_gradients.keys()
    for name, gradient in fast_gradients.items():
        assert torch.allclose(gradient, slow_gradients[name], rtol=0, atol=1e-11), name


def test_a_few_tokens_are_multiplied_beside_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    model = relaxed_model()
    (linear, *_) = linears(model)
    monkeypatch.setattr(StepLoRALinear, "_relaxed_weight", lambda _: pytest.fail("written out"))
    few = torch.zeros(1, 3, linear.in_features, dtype=torch.float64)
    assert linear(few).requires_grad


def _with_gradients(
    model: RecursiveAdapterModel,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    states = model(**{name: rows.repeat(8, 1) for name, rows in batch().items()}).last_hidden_state
    states.square().sum().backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return states.detach(), found
