"""Export to a plain ALBERT, held to the stock classes of transformers and adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import AlbertAdapterModel
from transformers import AlbertModel, AutoTokenizer

from adapterkit.backbones.exporting import export_albert
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.loading import Backbone, load_backbone
from adapterkit.backbones.saving import save_backbone
from adapterkit.runs.errors import UserError

from .conftest import output, random_model


def backbone_of(tmp_path: Path, tokenizer: Any, **settings: Any) -> Backbone:
    save_backbone(random_model(**settings), tokenizer, tmp_path / "ours", card={})
    return load_backbone(tmp_path / "ours")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_pooler": True},
        {"embedding_size": 32, "embedding_projection": False},
        {"tied": "matrices"},
        {"block_of_step": [0, 0, 2, 2]},
    ],
    ids=["plain", "pooler", "no-projection", "relaxed", "two-blocks"],
)
@pytest.mark.parametrize("model_class", [AlbertModel, AlbertAdapterModel])
def test_stock_classes_load_it(
    tmp_path: Path, tokenizer: Any, settings: dict[str, Any], model_class: Any
) -> None:
    backbone = backbone_of(tmp_path, tokenizer, layerwise=False, **settings)
    export_albert(backbone, tmp_path / "albert")
    stock, report = model_class.from_pretrained(tmp_path / "albert", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    assert (output(stock.eval()) - output(backbone.model)).abs().max() <= 1e-5
    assert stock.config.num_hidden_groups == 4


def test_pooler_is_exported(tmp_path: Path, tokenizer: Any) -> None:
    backbone = backbone_of(tmp_path, tokenizer, layerwise=False, use_pooler=True)
    notes = export_albert(backbone, tmp_path / "albert")
    assert not any("pooler" in note for note in notes)
    stock = AlbertModel.from_pretrained(tmp_path / "albert").eval()
    ids = torch.tensor([[2, 5, 3]])
    with torch.no_grad():
        ours, theirs = backbone.model.albert(ids).pooler_output, stock(ids).pooler_output
    assert (ours - theirs).abs().max() <= 1e-5


def test_what_albert_must_have_is_filled_in_and_said(tmp_path: Path, tokenizer: Any) -> None:
    backbone = backbone_of(
        tmp_path, tokenizer, layerwise=False, embedding_size=32, embedding_projection=False
    )
    notes = export_albert(backbone, tmp_path / "albert")
    assert any("identity matrix was written, so" in note for note in notes)
    assert any("projects embeddings" in note for note in notes)
    assert json.loads((tmp_path / "albert" / "card.json").read_text())["notes"] == list(notes)
    stock = AlbertModel.from_pretrained(tmp_path / "albert").eval()
    ids = torch.tensor([[2, 5, 3]])
    with torch.no_grad():
        found = stock(ids)
    assert torch.allclose(found.pooler_output, found.last_hidden_state[:, 0].tanh())


def test_layerwise_adapter_goes_along(tmp_path: Path, tokenizer: Any) -> None:
    backbone = backbone_of(tmp_path, tokenizer)
    notes = export_albert(backbone, tmp_path / "albert")
    assert any("1e-5" in note for note in notes)
    stock = AlbertAdapterModel.from_pretrained(tmp_path / "albert").eval()
    report: dict[str, Any] = {}
    name = stock.load_adapter(
        str(tmp_path / "albert" / "layerwise"), use_safetensors=True, loading_info=report
    )
    assert name == LAYERWISE
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    stock.set_active_adapters(name)
    assert (output(stock) - output(backbone.model)).abs().max() <= 1e-3
    for module in stock.modules():
        if hasattr(module, "adapter_norm_after"):
            module.adapter_norm_after.eps = backbone.model.config.layer_norm_eps
    assert (output(stock) - output(backbone.model)).abs().max() <= 1e-5


def test_tokenizer_goes_along(tmp_path: Path, tokenizer: Any) -> None:
    export_albert(backbone_of(tmp_path, tokenizer, layerwise=False), tmp_path / "albert")
    found = AutoTokenizer.from_pretrained(tmp_path / "albert")
    assert found.get_vocab() == tokenizer.get_vocab()


def test_step_0_adapter_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    backbone = backbone_of(tmp_path, tokenizer, embedding_adapter_size=2)
    with pytest.raises(UserError, match="cannot be written as a plain ALBERT") as caught:
        export_albert(backbone, tmp_path / "albert")
    assert "att_adapters.0" in str(caught.value)
    assert not (tmp_path / "albert").exists()


@pytest.mark.parametrize("layerwise", [True, False])
def test_an_exported_folder_loads_again(tmp_path: Path, tokenizer: Any, layerwise: bool) -> None:
    """The copies of one block are found equal and shared again."""
    backbone = backbone_of(tmp_path, tokenizer, layerwise=layerwise, use_pooler=True)
    export_albert(backbone, tmp_path / "albert")
    again = load_backbone(tmp_path / "albert")
    assert again.model.config.block_of_step == [0, 0, 0, 0]
    assert again.fingerprint == backbone.fingerprint


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_stock_albert_becomes_recursive(tmp_path: Path, tokenizer: Any, groups: int) -> None:
    from transformers import AlbertConfig

    config = AlbertConfig(
        vocab_size=50,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=4,
        num_hidden_groups=groups,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    stock = AlbertModel(config).eval()
    stock.save_pretrained(tmp_path / "stock")
    tokenizer.save_pretrained(tmp_path / "stock")
    ours = load_backbone(tmp_path / "stock").model
    assert (output(ours) - output(stock)).abs().max() <= 1e-5
    assert len(set(ours.config.block_of_step)) == groups
