"""Saving and loading a backbone, strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import AutoAdapterModel, SeqBnConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from adapterkit.backbones.canonical import canonical_tensors
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.saving import save_backbone
from adapterkit.runs.errors import UserError

from .conftest import output, random_model


def test_loading_gives_what_was_saved(tmp_path: Path, tokenizer: Any) -> None:
    model = random_model(embedding_adapter_size=2)
    save_backbone(model, tokenizer, tmp_path / "b", card={"name": "small", "licence": "MIT"})
    backbone = load_backbone(tmp_path / "b")
    assert torch.equal(output(backbone.model), output(model))
    assert (backbone.steps, backbone.hidden_size, backbone.has_layerwise) == (4, 32, True)
    assert backbone.path == tmp_path / "b"
    assert backbone.id == str(tmp_path / "b")
    assert not backbone.model.training
    assert {p.dtype for p in backbone.model.parameters()} == {torch.float32}
    assert backbone.tokenizer.tokenize("Aspirin induced asthmas") == [
        "aspirin",
        "induced",
        "asthma",
        "##s",
    ]
    card = json.loads((tmp_path / "b" / "card.json").read_text())
    assert card["name"] == "small"
    assert card["fingerprint"] == backbone.fingerprint == fingerprint(model)


def test_folder_names_no_path_and_no_adapter(saved: Path) -> None:
    for file in saved.rglob("*.json"):
        assert str(saved.parent) not in file.read_text()
    config = json.loads((saved / "config.json").read_text())
    assert config["model_type"] == "recursive_albert"
    assert not {"adapters", "prediction_heads", "_name_or_path"} & config.keys()
    assert all(not name.startswith("albert.") for name in load_file(saved / "model.safetensors"))
    assert not list(saved.rglob("*.bin"))


def test_task_adapters_and_heads_are_no_part_of_a_backbone(tmp_path: Path, tokenizer: Any) -> None:
    model = random_model()
    before = fingerprint(model)
    model.add_adapter("task", config=SeqBnConfig())
    model.add_tagging_head("task", num_labels=3)
    assert fingerprint(model) == before
    save_backbone(model, tokenizer, tmp_path / "b", card={})
    backbone = load_backbone(tmp_path / "b")
    assert list(backbone.model.adapters_config.adapters) == [LAYERWISE]
    assert len(backbone.model.heads) == 0
    assert backbone.fingerprint == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_stored_and_float32_loaded(
    tmp_path: Path, tokenizer: Any, dtype: torch.dtype
) -> None:
    model = random_model()
    save_backbone(model, tokenizer, tmp_path / "half", card={}, dtype=dtype)
    save_backbone(model, tokenizer, tmp_path / "full", card={})
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("half", "full")]
    assert sizes[0] < 0.7 * sizes[1]
    layerwise = load_file(tmp_path / "half" / "layerwise" / "adapter.safetensors")
    assert {tensor.dtype for tensor in layerwise.values()} == {dtype}
    backbone = load_backbone(tmp_path / "half")
    assert {p.dtype for p in backbone.model.parameters()} == {torch.float32}
    for name, tensor in canonical_tensors(backbone.model).items():
        assert torch.equal(tensor, canonical_tensors(model)[name].to(dtype).float())
    # Storing what was loaded in full gives the same backbone: half precision lost nothing more.
    save_backbone(backbone.model, tokenizer, tmp_path / "again", card={})
    assert load_backbone(tmp_path / "again").fingerprint == backbone.fingerprint
    assert backbone.fingerprint != fingerprint(model)


def test_overflow_in_half_precision_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    model = random_model()
    with torch.no_grad():
        model.albert.embeddings.LayerNorm.weight[3] = 1e5
    with pytest.raises(UserError, match="not finite") as caught:
        save_backbone(model, tokenizer, tmp_path / "b", card={}, dtype=torch.float16)
    assert "embeddings.LayerNorm.weight" in str(caught.value)
    assert not (tmp_path / "b").exists()


def test_an_existing_folder_is_not_overwritten(saved: Path, tokenizer: Any) -> None:
    before = (saved / "card.json").read_bytes()
    with pytest.raises(UserError, match="already taken"):
        save_backbone(random_model(), tokenizer, saved, card={})
    assert (saved / "card.json").read_bytes() == before


def test_an_adapter_that_only_has_the_name_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    model = random_model(layerwise=False)
    model.add_adapter(LAYERWISE, config=SeqBnConfig())
    with pytest.raises(UserError, match="not a layer-wise adapter"):
        save_backbone(model, tokenizer, tmp_path / "b", card={})
    assert not (tmp_path / "b").exists()


def test_loading_leaves_the_random_state_alone(saved: Path) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    load_backbone(saved)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_implementation(saved: Path, attention: str) -> None:
    model = load_backbone(saved, attn_implementation=attention).model
    kind = type(model.albert.encoder.blocks()[0].attention).__name__
    assert ("Sdpa" in kind) == (attention == "sdpa")
    other = load_backbone(saved, attn_implementation="sdpa").model
    assert (output(model) - output(other)).abs().max() < 1e-5


def test_unknown_attention_implementation(saved: Path) -> None:
    with pytest.raises(UserError, match="attention") as caught:
        load_backbone(saved, attn_implementation="flash_attention_9")
    assert "sdpa, eager" in str(caught.value)


def test_auto_classes_load_the_folder(saved: Path) -> None:
    ours = load_backbone(saved).model
    ours.set_active_adapters(None)
    for auto in (AutoModel, AutoAdapterModel):
        model = auto.from_pretrained(saved).eval()
        assert (output(model) - output(ours)).abs().max() < 1e-6


def test_adapterhub_loads_the_layerwise_folder(saved: Path) -> None:
    backbone = load_backbone(saved).model
    model = AutoAdapterModel.from_pretrained(saved).eval()
    name = model.load_adapter(str(saved / "layerwise"), use_safetensors=True)
    assert name == LAYERWISE
    model.set_active_adapters(name)
    assert torch.equal(output(model), output(backbone))


class TestFingerprint:
    def test_equal_when_loaded_twice(self, saved: Path) -> None:
        one, other = load_backbone(saved), load_backbone(saved)
        assert one.fingerprint == other.fingerprint
        assert one.fingerprint.startswith("sha256:")
        assert len(one.fingerprint) == 7 + 64

    @pytest.mark.parametrize(
        "name",
        [
            "embeddings.word_embeddings.weight",
            "encoder.embedding_adapter.up.bias",
            "encoder.embedding_hidden_mapping_in.weight",
            "encoder.albert_layer_groups.0.albert_layers.0.ffn.bias",
            "encoder.albert_layer_groups.2.albert_layers.0.output_adapters.adapters.layerwise"
            ".adapter_norm_after.bias",
        ],
    )
    def test_changes_with_one_weight(self, saved: Path, name: str) -> None:
        backbone = load_backbone(saved)
        with torch.no_grad():
            backbone.model.albert.get_parameter(name).view(-1)[0] += 1e-3
        assert fingerprint(backbone.model) != backbone.fingerprint

    @pytest.mark.parametrize(
        ("key", "value"), [("num_attention_heads", 8), ("hidden_act", "relu"), ("pad_token_id", 1)]
    )
    def test_changes_with_the_function(self, saved: Path, key: str, value: Any) -> None:
        backbone = load_backbone(saved)
        setattr(backbone.model.config, key, value)
        assert fingerprint(backbone.model) != backbone.fingerprint

    def test_does_not_change_with_what_is_active(self, saved: Path) -> None:
        backbone = load_backbone(saved)
        backbone.model.set_active_adapters(None)
        backbone.model.train()
        backbone.model.requires_grad_(False)
        assert fingerprint(backbone.model) == backbone.fingerprint

    def test_layerwise_adapter_is_part_of_it(self) -> None:
        model = random_model()
        before = fingerprint(model)
        model.delete_adapter(LAYERWISE)
        assert fingerprint(model) != before


class TestDamage:
    """What does not fit exactly is refused, by the name of the tensor and the file."""

    def refuse(self, path: Path, *expected: str) -> None:
        with pytest.raises(UserError) as caught:
            load_backbone(path)
        message = str(caught.value)
        for words in expected:
            assert words in message
        assert "Traceback" not in message

    def change(self, file: Path, **changes: torch.Tensor | None) -> None:
        tensors = load_file(file)
        for name, tensor in changes.items():
            tensors.pop(name, None)
            if tensor is not None:
                tensors[name] = tensor
        save_file(tensors, file)

    def test_missing_key(self, saved: Path) -> None:
        self.change(saved / "model.safetensors", **{"embeddings.LayerNorm.bias": None})
        self.refuse(saved, "embeddings.LayerNorm.bias", "model.safetensors", "lacks")

    def test_unexpected_key(self, saved: Path) -> None:
        self.change(saved / "model.safetensors", **{"pooler.weight": torch.zeros(32, 32)})
        self.refuse(saved, "pooler.weight", "model.safetensors", "does not belong")

    def test_copy_of_a_shared_parameter(self, saved: Path) -> None:
        name = "encoder.albert_layer_groups.1.albert_layers.0.ffn.bias"
        self.change(saved / "model.safetensors", **{name: torch.zeros(64)})
        self.refuse(saved, name)

    def test_wrong_shape(self, saved: Path) -> None:
        name = "embeddings.word_embeddings.weight"
        self.change(saved / "model.safetensors", **{name: torch.zeros(49, 16)})
        self.refuse(saved, name, "[49, 16]", "[50, 16]")

    def test_not_finite(self, saved: Path) -> None:
        name = "embeddings.LayerNorm.bias"
        self.change(saved / "model.safetensors", **{name: torch.full((16,), float("nan"))})
        self.refuse(saved, name, "not finite")

    def test_changed_value(self, saved: Path) -> None:
        self.change(saved / "model.safetensors", **{"embeddings.LayerNorm.bias": torch.ones(16)})
        self.refuse(saved, "card", "fingerprint")

    @pytest.mark.parametrize("file", ["model.safetensors", "layerwise/adapter.safetensors"])
    @pytest.mark.parametrize("keep", [0, 5, 300, -1])
    def test_cut_short(self, saved: Path, file: str, keep: int) -> None:
        data = (saved / file).read_bytes()
        (saved / file).write_bytes(data[:keep])
        self.refuse(saved, "cannot be read", file)

    def test_a_pickle_under_the_safe_name(self, saved: Path) -> None:
        torch.save({"a": torch.ones(2)}, saved / "model.safetensors")
        self.refuse(saved, "cannot be read", "model.safetensors")

    @pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
    def test_missing_file(self, saved: Path, file: str) -> None:
        (saved / file).unlink()
        if file == "tokenizer.json":
            (saved / "vocab.txt").unlink()
        self.refuse(saved, str(saved))

    def test_layerwise_tensor_missing(self, saved: Path) -> None:
        file = saved / "layerwise" / "adapter.safetensors"
        name = sorted(load_file(file))[0]
        self.change(file, **{name: None})
        self.refuse(saved, name, "adapter.safetensors")

    @pytest.mark.parametrize(
        "change",
        [
            {"original_ln_before": False},
            {"reduction_factor": "16"},
            {"reduction_factor": 0},
            {"non_linearity": "relu"},
            {"leave_out": [1]},
        ],
    )
    def test_layerwise_config_of_another_form(self, saved: Path, change: dict[str, Any]) -> None:
        file = saved / "layerwise" / "adapter_config.json"
        config = json.loads(file.read_text())
        config["config"]["configs"][0] |= change
        file.write_text(json.dumps(config))
        self.refuse(saved, "layer-wise adapter", "adapter_config.json")

    def test_layerwise_folder_removed(self, saved: Path) -> None:
        for file in (saved / "layerwise").iterdir():
            file.unlink()
        (saved / "layerwise").rmdir()
        self.refuse(saved, "fingerprint")

    @pytest.mark.parametrize("text", ["", "{", "[]", '"a"', "{'a': 1}", "[" * 100_000])
    def test_config_that_is_no_json_object(self, saved: Path, text: str) -> None:
        (saved / "config.json").write_text(text)
        self.refuse(saved, "config.json")

    def test_config_in_another_encoding(self, saved: Path) -> None:
        (saved / "config.json").write_bytes(b'\xff\xfe{"a"')
        self.refuse(saved, "config.json")

    def test_foreign_tokenizer(self, saved: Path) -> None:
        (saved / "tokenizer.json").unlink()
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{i}" for i in range(60))]
        (saved / "vocab.txt").write_text("\n".join(words))
        self.refuse(saved, "tokenizer does not belong", "vocab_size, 50")
