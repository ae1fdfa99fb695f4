"""Operators of a real profile are told apart by kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from adapterkit.backbones.adapter_layers import attend
from adapterkit.backbones.dropout import StepDropout
from adapterkit.tuning.profile_kinds import KINDS, MATRIX_PRODUCTS, OTHER, kinds_of


def recorded(*modules: nn.Module, optimiser: bool = False) -> list[tuple[Any, str]]:
    """The events of a forward and backward pass through modules, each with its kind."""
    model = nn.Sequential(*modules)
    states = torch.randn(4, 8, requires_grad=True)
    update = torch.optim.AdamW(model.parameters()) if optimiser else None
    with profile(activities=[ProfilerActivity.CPU]) as found:
        model(states).mean().backward()
        if update is not None:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            update.step()
    events = found.events()
    return list(zip(events, kinds_of(events), strict=True))


def kinds(found: list[tuple[Any, str]], name: str) -> set[str]:
    return {kind for event, kind in found if event.name == name}


class Attention(nn.Module):
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        heads = states.view(1, 2, 4, 4)
        return nn.functional.scaled_dot_product_attention(heads, heads, heads, dropout_p=0.5)


class WrittenOut(nn.Module):
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        heads = states.view(1, 2, 4, 4)
        return attend(heads, heads, heads, None, 0.5)


class Residual(nn.Module):
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return states * 2 + states


@pytest.mark.parametrize(
    ("module", "kind", "forward", "backward"),
    [
        (nn.Linear(8, 8), MATRIX_PRODUCTS, "aten::addmm", "aten::mm"),
        (nn.LayerNorm(8), "normalisation", "aten::native_layer_norm", "NativeLayerNormBackward0"),
        (nn.GELU(), "activation", "aten::gelu", "aten::gelu_backward"),
        (nn.Mish(), OTHER, "aten::mish", "aten::mish_backward"),
        (nn.Dropout(0.5), "dropout", "aten::bernoulli_", "MulBackward0"),
        (StepDropout(0.5), "dropout", "aten::random_", "MulBackward0"),
        (Attention(), "attention", "aten::bmm", "BmmBackward0"),
        (WrittenOut(), "attention", "aten::bmm", "BmmBackward0"),
        (WrittenOut(), "attention", "aten::random_", "SoftmaxBackward0"),
        (Residual(), OTHER, "aten::mul", "MulBackward0"),
    ],
)
def test_an_operator_and_its_gradient(
    module: nn.Module, kind: str, forward: str, backward: str
) -> None:
    found = recorded(module)
    assert kinds(found, forward) == {kind}
    assert kinds(found, backward) == {kind}


def test_what_stands_beside_a_matrix_product_is_none() -> None:
    found = recorded(nn.Linear(8, 8))
    assert kinds(found, "aten::sum") == {OTHER}
    assert kinds(found, "AddmmBackward0") == {OTHER}


def test_the_same_operator_in_two_places() -> None:
    found = recorded(nn.Dropout(0.5), Attention(), Residual())
    assert kinds(found, "aten::bernoulli_") == {"attention", "dropout"}
    assert kinds(found, "MulBackward0") == {"attention", "dropout", OTHER}
    nodes = [kind for event, kind in found if event.name == "MulBackward0"]
    assert nodes[0] == OTHER
    assert nodes[-1] == "dropout"


def test_the_optimiser_and_what_it_calls() -> None:
    found = recorded(nn.Linear(8, 8), optimiser=True)
    assert kinds(found, "Optimizer.step#AdamW.step") == {"optimiser"}
    assert "optimiser" in kinds(found, "aten::sqrt") | kinds(found, "aten::_foreach_sqrt")
    assert kinds(found, "aten::linalg_vector_norm") <= {"optimiser"}


def test_there_are_no_other_kinds() -> None:
    found = recorded(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8), optimiser=True)
    assert {kind for _, kind in found} <= {*KINDS}
