from __future__ import annotations

import math

import pytest
import torch

from adapterkit.backbones.adapter_layers import attend
from adapterkit.backbones.dropout import StepDropout, drop

ELEMENTS = 400_003


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5, 0.9])
def test_elements_are_dropped_as_often_as_said(probability: float) -> None:
    torch.manual_seed(1)
    dropped = drop(torch.ones(ELEMENTS), probability)
    kept = dropped.unique()
    assert kept[0] == 0
    assert kept[1:].tolist() == pytest.approx([1 / (1 - probability)], rel=1e-3)
    spread = math.sqrt(probability * (1 - probability) / ELEMENTS)
    assert (dropped == 0).double().mean().item() == pytest.approx(probability, abs=5 * spread)
    assert dropped.double().mean().item() == pytest.approx(1, abs=5 * spread / (1 - probability))


def test_elements_are_dropped_independently_of_their_neighbours() -> None:
    torch.manual_seed(2)
    zero = (drop(torch.ones(ELEMENTS), 0.5) == 0).double()
    for distance in (1, 2, 3, 4, 8):
        both = (zero[:-distance] * zero[distance:]).mean().item()
        assert both == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / ELEMENTS))


def test_the_generator_decides_the_mask() -> None:
    states = torch.randn(7, 5, 3)
    torch.manual_seed(3)
    first, second = drop(states, 0.3), drop(states, 0.3)
    torch.manual_seed(3)
    assert torch.equal(drop(states, 0.3), first)
    assert not torch.equal(first, second)
    assert first.shape == states.shape


def test_gradients_pass_where_elements_were_kept() -> None:
    states = torch.randn(11, 6, requires_grad=True)
    dropped = drop(states, 0.4)
    dropped.sum().backward()
    assert torch.equal(states.grad == 0, dropped == 0)
    assert states.grad.max().item() == pytest.approx(1 / 0.6, rel=1e-4)


def test_no_dropout_and_all_dropout() -> None:
    states = torch.randn(5)
    assert torch.equal(drop(states, 0.0), states)
    assert torch.equal(drop(states, 1.0), torch.zeros(5))
    assert drop(torch.empty(0, 3), 0.5).shape == (0, 3)
    layer = StepDropout(0.5)
    assert layer.eval()(states) is states
    assert layer.train()(torch.ones(100)).max() > 1


@pytest.mark.parametrize("masked", [True, False])
def test_attention_written_out_is_sdpa(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(queries: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(4)
        sizes = ((2, 3, queries, 8), (2, 3, 9, 8), (2, 3, 9, 8))
        return [
            torch.randn(size, generator=generator, dtype=torch.float64).requires_grad_()
            for size in sizes
        ]

    mask = torch.zeros(2, 1, 1, 9, dtype=torch.float64)
    mask[1, ..., 5:] = torch.finfo(torch.float64).min
    monkeypatch.setattr("adapterkit.backbones.adapter_layers.drop", lambda states, _: states)
    for queries in (9, 4):
        slow, fast = taken(queries), taken(queries)
        expected = attend(*slow, mask if masked else None, 0.0)
        found = attend(*fast, mask if masked else None, 0.1)
        assert torch.allclose(found, expected, rtol=0, atol=1e-12)
        found.square().sum().backward()
        expected.square().sum().backward()
        for one, other in zip(fast, slow, strict=True):
            assert torch.allclose(one.grad, other.grad, rtol=0, atol=1e-11)
