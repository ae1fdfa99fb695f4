"""KronA and AdaKron: their products against torch.kron, their sizes, stock AdapterHub's refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import AlbertAdapterModel
from transformers import AlbertConfig

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.kronecker_adapters import (
    KroneckerLoRA,
    KroneckerUp,
    krona_shapes,
)
from adapterkit.backbones.kronecker_configs import AdakronConfig, KronaConfig, OpenUnion

from .conftest import output, random_model, small_config


def test_krona_adds_its_product_without_writing_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(layerwise=False)
    model.add_adapter("task", config=KronaConfig(factor=4, alpha=3), set_active=True)
    linear = model.albert.encoder.blocks()[2].attention.query
    lora = linear.loras["task"]
    assert type(lora) is KroneckerLoRA
    torch.nn.init.normal_(lora.lora_B)
    update = 3 * torch.kron(lora.lora_B, lora.lora_A)
    assert torch.equal(lora.delta_w * lora.scaling, update)
    assert torch.linalg.matrix_rank(update) == 32
    states = torch.randn(2, 6, 32)
    expected = states @ (linear.weight + update).T + linear.bias

    def refuse(*_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the product was written out")

    monkeypatch.setattr(torch, "kron", refuse)
    torch.testing.assert_close(linear(states), expected)


@pytest.mark.parametrize(
    "config", [KronaConfig(output_lora=True), AdakronConfig(non_linearity="tanh")]
)
def test_at_first_nothing_changes_and_everything_can_learn(config: Any) -> None:
    model = random_model(layerwise=False)
    before = output(model)
    model.add_adapter("task", config=config, set_active=True)
    assert torch.equal(output(model), before)
    model.train_adapter("task")
    learning = [p for p in model.parameters() if p.requires_grad]
    for _ in range(2):
        ids = torch.tensor([[2, 5, 6, 3]])
        model(ids).last_hidden_state[..., 0].sum().backward()
        with torch.no_grad():
            for parameter in learning:
                parameter.sub_(0.1 * parameter.grad)
    assert all(parameter.grad.abs().max() > 0 for parameter in learning)


def test_adakron_multiplies_the_outputs_of_two_nets() -> None:
    up = KroneckerUp(units=3, first=2, second=5)
    assert not up(torch.randn(2, 4, 3)).any()
    torch.nn.init.normal_(up.first.weight)
    states = torch.randn(2, 4, 3)
    made = up(states)
    for text in range(2):
        for token in range(4):
            first, second = up.first(states[text, token]), up.second(states[text, token])
            torch.testing.assert_close(made[text, token], torch.kron(first, second))


def numbers(model: Any) -> int:
    return sum(p.numel() for name, p in model.named_parameters() if ".task." in name)


def test_sizes_are_those_of_the_papers_notes() -> None:
    """A matrix of 768 x 768 with factor 16: 16 x 16 + 48 x 48 = 2,560; LoRA with r=1 has 1,536."""
    assert krona_shapes(16, 768, 768) == ((48, 48), (16, 16))
    model = RecursiveAdapterModel(
        small_config(hidden_size=768, intermediate_size=3072, num_hidden_layers=1)
    )
    model.add_adapter("task", config=KronaConfig(factor=16))
    assert numbers(model) == 2 * 2_560
    model.delete_adapter("task")
    model.add_adapter("task", config=KronaConfig(attn_matrices=[], intermediate_lora=True))
    assert numbers(model) == 16 * 16 + 192 * 48
    model.delete_adapter("task")
    model.add_adapter("task", config=AdakronConfig(reduction_factor=16))
    assert numbers(model) == (768 * 48 + 48) + (48 * 16 + 16) + (48 * 48 + 48)


@pytest.mark.parametrize(
    "config",
    [
        KronaConfig(factor=5),
        KronaConfig(factor=0),
        AdakronConfig(factor=64),
        KronaConfig(factor=64, intermediate_lora=True),
    ],
)
def test_a_factor_that_does_not_divide_is_refused(config: Any) -> None:
    model = random_model(layerwise=False)
    with pytest.raises(ValueError, match="does not divide"):
        model.add_adapter("task", config=config)
    assert "task" not in model.adapters_config


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (KronaConfig(), "krona"),
        (AdakronConfig(), "adakron"),
        (OpenUnion(KronaConfig(leave_out=[0]), AdakronConfig()), "krona"),
    ],
    ids=["krona", "adakron", "union"],
)
def test_stock_adapterhub_refuses_what_it_cannot_compute(
    config: Any, name: str, tmp_path: Path
) -> None:
    model = random_model(layerwise=False)
    model.add_adapter("task", config=config)
    model.save_adapter(str(tmp_path / "task"), "task", use_safetensors=True)
    saved = json.loads((tmp_path / "task" / "adapter_config.json").read_text())
    member = saved["config"].get("configs", [saved["config"]])[0]
    assert member["architecture"] == name
    assert member["factor"] == 16
    stock = AlbertAdapterModel(
        AlbertConfig(
            vocab_size=50,
            embedding_size=16,
            hidden_size=32,
            num_hidden_layers=4,
            num_hidden_groups=4,
            num_attention_heads=4,
            intermediate_size=64,
        )
    )
    before = [key for key, _ in stock.named_parameters()]
    with pytest.raises(KeyError, match=name):
        stock.load_adapter(str(tmp_path / "task"), use_safetensors=True)
    assert [key for key, _ in stock.named_parameters()] == before
