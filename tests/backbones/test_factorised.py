"""Backbones whose matrices are stored as factors: what they compute, how they are kept."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import AlbertAdapterModel
from safetensors.torch import load_file, save_file

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.canonical import canonical_shapes, canonical_tensors
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.exporting import export_albert
from adapterkit.backbones.factorised.modules import Factors
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.fusing import fused_updates
from adapterkit.backbones.loading import load_backbone, save_backbone
from adapterkit.backbones.model import RecursiveForTokenClassification
from adapterkit.backbones.pruned import masks_of, prune_factors
from adapterkit.backbones.stated import stated_backbone
from adapterkit.backbones.stated_fingerprint import stated_fingerprint
from adapterkit.runs.errors import UserError
from tests.plans.conftest import FORMS, build

KINDS = tuple(FORMS)


def model_of(kind: str, layerwise: bool = True) -> RecursiveAdapterModel:
    forms = {name: form.as_dict() for name, form in FORMS[kind].items()}
    tied = "central" if kind == "mpo" else "all"
    return build(
        layerwise,
        factorised=forms,
        tied=tied,
        vocab_size=100,
        embedding_adapter_size=None,
        pad_token_id=0,
    )


def pruned_model() -> RecursiveAdapterModel:
    model = model_of("low_rank")
    names = [name for name in canonical_tensors(model) if ".factors." in name]
    chance = torch.Generator().manual_seed(3)
    shapes = canonical_shapes(model.config)
    prune_factors(model, {n: torch.rand(shapes[n], generator=chance) < 0.4 for n in names})
    return model


def states(model: Any) -> torch.Tensor:
    ids = torch.tensor([[2, 5, 6, 7, 8, 3], [2, 9, 5, 3, 0, 0]])
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids, attention_mask=(ids != 0).long())[0]
    return found


def saved(model: RecursiveAdapterModel, tokenizer: Any, folder: Path) -> Path:
    save_backbone(model, tokenizer, folder, card={"name": "factors"})
    return folder


def dense_twin(model: RecursiveAdapterModel) -> RecursiveAdapterModel:
    """The same backbone with every matrix multiplied out."""
    config = copy.deepcopy(model.config)
    values = {
        k: getattr(config, k)
        for k in (
            "vocab_size",
            "embedding_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
            "pad_token_id",
        )
    }
    twin = build(True, **values, block_of_step=list(range(4)), embedding_adapter_size=None)
    state = model.state_dict()
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            owner = model.get_submodule(name.rpartition(".")[0])
            multiplied = isinstance(getattr(owner, "factors", None), Factors)
            source = owner.weight if multiplied and name.endswith(".weight") else state[name]
            parameter.copy_(source)
    return twin.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_what_the_matrices_would(kind: str) -> None:
    model = model_of(kind)
    assert torch.allclose(states(model), states(dense_twin(model)), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_matrices(kind: str) -> None:
    model = model_of(kind).double()
    twin = dense_twin(model).double()
    ids = torch.tensor([[2, 5, 6, 7, 8, 3]])
    for each in (model, twin):
        each(input_ids=ids, attention_mask=torch.ones_like(ids))[0].square().sum().backward()
    name = "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.value.bias"
    # The twin's steps share nothing, so what steps share has the sum of their gradients.
    steps = [
        twin.get_parameter(name.replace("groups.0", f"groups.{step}")).grad for step in range(4)
    ]
    found = model.get_parameter(name).grad
    assert found is not None
    wanted = torch.stack([gradient for gradient in steps if gradient is not None]).sum(0)
    # The twin's matrices were multiplied out in single precision.
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_saving_and_loading_keep_every_bit(kind: str, tokenizer: Any, tmp_path: Path) -> None:
    model = model_of(kind)
    loaded = load_backbone(saved(model, tokenizer, tmp_path / "backbone"))
    assert torch.equal(states(loaded.model), states(model))
    assert loaded.fingerprint == fingerprint(model)
    stored = load_file(tmp_path / "backbone" / "model.safetensors")
    assert {n: tuple(t.shape) for n, t in stored.items()} == canonical_shapes(model.config)


@pytest.mark.parametrize("kind", KINDS)
def test_files_state_what_loading_finds(kind: str, tokenizer: Any, tmp_path: Path) -> None:
    folder = saved(model_of(kind), tokenizer, tmp_path / "backbone")
    stated = stated_backbone(folder)
    assert stated is not None
    assert stated_fingerprint(stated) == load_backbone(folder).fingerprint


def test_a_form_is_part_of_what_is_computed() -> None:
    model = model_of("kronecker")
    before = fingerprint(model)
    other = copy.deepcopy(model)
    form = other.albert.config.factorised["attention.dense"]
    form["rows"], form["columns"] = [8, 4], [8, 4]
    assert fingerprint(other) != before


@pytest.mark.parametrize("kind", KINDS)
def test_stock_adapterhub_reads_the_export(kind: str, tokenizer: Any, tmp_path: Path) -> None:
    folder = saved(model_of(kind, layerwise=False), tokenizer, tmp_path / "backbone")
    notes = export_albert(load_backbone(folder), tmp_path / "albert")
    assert any("multiplied out" in note for note in notes)
    stock = AlbertAdapterModel.from_pretrained(tmp_path / "albert").eval()
    assert torch.allclose(states(stock), states(load_backbone(folder).model), atol=1e-5)


def test_transformers_saves_and_loads_a_static_head(tmp_path: Path) -> None:
    forms = {name: form.as_dict() for name, form in FORMS["kronecker"].items()}
    torch.manual_seed(1)
    config = RecursiveConfig(
        vocab_size=100,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        factorised=forms,
        num_labels=3,
    )
    model = RecursiveForTokenClassification(config).eval()
    model.save_pretrained(tmp_path)
    again = RecursiveForTokenClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(states(again), states(model))


def test_operators_are_multiplied_out_once_where_they_do_not_learn() -> None:
    model = model_of("mpo")
    before = states(model)
    model.requires_grad_(False)
    with fused_updates(model):
        linear = model.albert.encoder.blocks()[1].get_submodule("ffn")
        assert linear.dense is not None
        assert torch.allclose(states(model), before, atol=1e-6)
    assert linear.dense is None


@pytest.mark.parametrize("kind", KINDS)
def test_lora_is_not_merged_into_factors(kind: str) -> None:
    model = model_of(kind, layerwise=False)
    model.add_adapter("task", config="lora")
    with pytest.raises(ValueError, match="stored as factors"):
        model.merge_adapter("task")


def test_auxiliary_tensors_are_each_steps_own() -> None:
    model = model_of("mpo")
    blocks = model.albert.encoder.blocks()
    tensors = {
        n: [b.get_parameter(f"ffn.factors.{n}") for b in blocks] for n in ("tensor0", "tensor1")
    }
    assert len({id(tensor) for tensor in tensors["tensor1"]}) == 1
    assert len({id(tensor) for tensor in tensors["tensor0"]}) == len(blocks)


def test_pruned_factors_are_stored_as_what_is_kept(tokenizer: Any, tmp_path: Path) -> None:
    model = pruned_model()
    folder = saved(model, tokenizer, tmp_path / "backbone")
    loaded = load_backbone(folder)
    assert torch.equal(states(loaded.model), states(model))
    assert loaded.fingerprint == fingerprint(model)
    for name, mask in masks_of(model).items():
        assert torch.equal(masks_of(loaded.model)[name], mask)
    stored = load_file(folder / "model.safetensors")
    name = "embeddings.word_embeddings.factors.left"
    assert name not in stored
    assert stored[f"{name}.values"].shape == (model.config.pruned[name],)
    assert stored[f"{name}.bits"].numel() == -(-100 * 6 // 8)


def test_pruned_entries_stay_zero_in_training() -> None:
    model = pruned_model().train()
    masks = {name: mask.clone() for name, mask in masks_of(model).items()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.1)
    ids = torch.tensor([[2, 5, 6, 7, 8, 3]])
    for _ in range(3):
        optimiser.zero_grad()
        model(input_ids=ids, attention_mask=torch.ones_like(ids))[0].square().mean().backward()
        optimiser.step()
    for name, mask in masks.items():
        factor = canonical_tensors(model)[name]
        assert not factor[~mask].any()
        assert (factor[mask] != 0).any()


def test_steps_that_leave_a_block_keep_its_mask() -> None:
    model = pruned_model()
    before = states(model)
    model.set_blocks([0, 0, 2, 2])
    assert torch.equal(states(model), before)
    factors = model.albert.encoder.blocks()[2].get_submodule("ffn").factors
    assert factors.mask("left") is not None


def tampered(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


def flip(tensors: dict[str, torch.Tensor]) -> None:
    tensors["embeddings.word_embeddings.factors.left.bits"][0] ^= 1


def cut(tensors: dict[str, torch.Tensor]) -> None:
    name = "embeddings.word_embeddings.factors.left.values"
    tensors[name] = tensors[name][1:].clone()


def drop(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["embeddings.word_embeddings.factors.left.bits"]


@pytest.mark.parametrize("change", [flip, cut, drop])
def test_damaged_masks_are_refused(
    change: Callable[[dict[str, torch.Tensor]], None], tokenizer: Any, tmp_path: Path
) -> None:
    folder = tampered(saved(pruned_model(), tokenizer, tmp_path / "backbone"), change)
    with pytest.raises(UserError, match=r"embeddings\.word_embeddings\.factors\.left"):
        load_backbone(folder)


def low_rank(rows: int, columns: int, rank: int) -> dict[str, object]:
    return {"form": "low_rank", "rows": rows, "columns": columns, "rank": rank}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("factorised", {"attention.query": {"form": "tucker"}}, "tucker"),
        (
            "factorised",
            {"ffn": low_rank(32, 64, 3)},
            "64 x 32",
        ),
        (
            "factorised",
            {"LayerNorm": low_rank(1, 1, 1)},
            "LayerNorm",
        ),
        ("factorised", ["ffn"], "a mapping"),
        (
            "factorised",
            {"ffn": low_rank(64, 32, 10**9)},
            "rank",
        ),
        ("pruned", {"ffn.weight": 3}, "factors of the backbone"),
        ("pruned", {"embeddings.word_embeddings.factors.left": -1}, "a mapping"),
        ("pruned", {"embeddings.word_embeddings.factors.left": 10**6}, "factors of the backbone"),
        ("tied", "centre", "central"),
    ],
)
def test_configurations_that_cannot_be_are_refused(
    key: str, value: object, said: str, tokenizer: Any, tmp_path: Path
) -> None:
    folder = saved(model_of("low_rank"), tokenizer, tmp_path / "backbone")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(UserError, match=key) as caught:
        load_backbone(folder)
    assert said in str(caught.value)
