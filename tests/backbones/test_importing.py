"""Published MiniALBERT checkpoints, held to an independent writing of the paper's equations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterkit.backbones.importing import import_checkpoint
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.model import (
    RecursiveForMaskedLM,
    RecursiveForSequenceClassification,
    RecursiveForTokenClassification,
)
from adapterkit.backbones.static import load_static
from adapterkit.runs.errors import UserError

from . import minialbert
from .minialbert import Shape, base_tensors, config_of, write

TOLERANCE = 1e-5
IDS = torch.tensor([[2, 5, 6, 7, 41, 12, 30, 3], [2, 9, 45, 3, 0, 0, 0, 0]])
TYPES = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [0] * 8])
MASK = (IDS != 0).long()
INPUTS = {"input_ids": IDS, "token_type_ids": TYPES, "attention_mask": MASK}


def expected_states(tensors: dict[str, torch.Tensor], shape: Shape) -> list[torch.Tensor]:
    return minialbert.states(tensors, shape, IDS, TYPES, MASK)


def difference(ours: Any, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("adapters", [True, False], ids=["adapters", "plain"])
@pytest.mark.parametrize("embedding", [16, 48], ids=["projector", "no-projector"])
def test_forward_is_the_papers(
    tmp_path: Path, attention: str, adapters: bool, embedding: int
) -> None:
    shape = Shape(embedding=embedding, adapters=adapters)
    tensors = base_tensors(shape)
    source = write(tmp_path / "nlpie", tensors, config_of(shape))
    import_checkpoint(source, tmp_path / "ours")
    backbone = load_backbone(tmp_path / "ours", attn_implementation=attention)
    assert backbone.has_layerwise == adapters
    with torch.no_grad():
        found = backbone.model(**INPUTS, output_hidden_states=True)
    wanted = expected_states(tensors, shape)
    assert len(found.hidden_states) == shape.steps + 1 == 7
    for ours, theirs in zip(found.hidden_states, wanted, strict=True):
        assert difference(ours, theirs) <= TOLERANCE
    assert wanted[-1].std() > 0.3, "the comparison must be of states that differ"


def test_adapters_matter(tmp_path: Path) -> None:
    shape = Shape()
    backbone = load_backbone(write(tmp_path / "nlpie", base_tensors(shape), config_of(shape)))
    with torch.no_grad():
        active = backbone.model(**INPUTS).last_hidden_state
        backbone.model.set_active_adapters(None)
        inactive = backbone.model(**INPUTS).last_hidden_state
    assert difference(active, inactive) > 0.1


def test_unpadded_batch(tmp_path: Path) -> None:
    shape = Shape()
    tensors = base_tensors(shape)
    backbone = load_backbone(write(tmp_path / "nlpie", tensors, config_of(shape)))
    with torch.no_grad():
        found = backbone.model(IDS[:1]).last_hidden_state
    types = torch.zeros_like(IDS[:1])
    wanted = minialbert.states(tensors, shape, IDS[:1], types, torch.ones_like(IDS[:1]))[-1]
    assert difference(found, wanted) <= TOLERANCE


def bare(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix("albert."): tensor for name, tensor in tensors.items()}


def bert_named(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n.replace("albert.albert.embeddings", "bert.embeddings"): t for n, t in tensors.items()}


def with_bert_prefix(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n.replace("albert.", "bert.", 1): t for n, t in tensors.items()}


def without_pooler(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: t for name, t in tensors.items() if "pooler" not in name}


def old_layer_norm_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = {"weight": "gamma", "bias": "beta"}
    place = "albert.albert.embeddings.LayerNorm."
    renamed = dict(tensors)
    for new, old in names.items():
        renamed[place + old] = renamed.pop(place + new)
    return renamed


@pytest.mark.parametrize(
    "layout",
    [bare, bert_named, with_bert_prefix, without_pooler, old_layer_norm_names],
    ids=lambda function: function.__name__,
)
@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickle"])
def test_layouts(tmp_path: Path, layout: Any, pickled: bool) -> None:
    shape = Shape(steps=3)
    tensors = base_tensors(shape)
    stored = layout(minialbert.with_buffers(tensors, shape))
    source = write(tmp_path / "nlpie", stored, config_of(shape), pickled=pickled)
    with torch.no_grad():
        found = load_backbone(source).model(**INPUTS).last_hidden_state
    assert difference(found, expected_states(tensors, shape)[-1]) <= TOLERANCE


@pytest.mark.parametrize("model_type", ["bert", "albert", "MiniAlbert"])
def test_model_types(tmp_path: Path, model_type: str) -> None:
    shape = Shape(steps=2)
    tensors = base_tensors(shape)
    source = write(tmp_path / "nlpie", tensors, config_of(shape, model_type=model_type))
    with torch.no_grad():
        found = load_backbone(source).model(**INPUTS).last_hidden_state
    assert difference(found, expected_states(tensors, shape)[-1]) <= TOLERANCE


def test_every_step_has_the_adapter_it_had(tmp_path: Path) -> None:
    shape = Shape(steps=3)
    tensors = base_tensors(shape)
    backbone = load_backbone(write(tmp_path / "nlpie", tensors, config_of(shape)))
    for step, block in enumerate(backbone.model.albert.encoder.blocks()):
        down = block.get_parameter(
            f"attention.attention_adapters.adapters.{LAYERWISE}.adapter_down.0.weight"
        )
        assert torch.equal(down, tensors[f"albert.mlp_adapters.{step}.block.0.weight"])
    embedding_adapter = backbone.model.albert.encoder.embedding_adapter
    assert torch.equal(embedding_adapter.up.weight, tensors["albert.att_adapters.0.block.2.weight"])


def test_masked_lm_head_is_kept(tmp_path: Path) -> None:
    shape = Shape(steps=3)
    tensors = minialbert.with_mlm_head(base_tensors(shape), shape)
    source = write(tmp_path / "nlpie", tensors, config_of(shape), pickled=True)
    import_checkpoint(source, tmp_path / "ours")
    model = load_static(tmp_path / "ours")
    assert isinstance(model, RecursiveForMaskedLM)
    with torch.no_grad():
        scores = model(**INPUTS).logits
    wanted = minialbert.mlm_scores(tensors, expected_states(tensors, shape)[-1])
    assert difference(scores, wanted) <= 2 * TOLERANCE
    decoder, table = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    assert decoder is not table


@pytest.mark.parametrize("adapters", [True, False], ids=["adapters", "plain"])
@pytest.mark.parametrize(
    ("architecture", "expected_class"),
    [
        ("MiniAlbertForTokenClassification", RecursiveForTokenClassification),
        ("MiniAlbertForSequenceClassification", RecursiveForSequenceClassification),
    ],
)
def test_classification_heads_are_kept(
    tmp_path: Path, architecture: str, expected_class: type, adapters: bool
) -> None:
    shape = Shape(steps=3, adapters=adapters)
    tensors = minialbert.with_classifier(base_tensors(shape), shape, labels=3)
    labels = {"0": "O", "1": "B-Disease", "2": "I-Disease"}
    config = config_of(shape, architectures=[architecture], id2label=labels)
    import_checkpoint(write(tmp_path / "nlpie", tensors, config), tmp_path / "ours")
    model = load_static(tmp_path / "ours")
    assert isinstance(model, expected_class)
    assert model.config.id2label == {0: "O", 1: "B-Disease", 2: "I-Disease"}
    states = expected_states(tensors, shape)[-1]
    if expected_class is RecursiveForSequenceClassification:
        states = states[:, 0]
    with torch.no_grad():
        logits = model(**INPUTS).logits
    wanted = states @ tensors["classifier.weight"].T + tensors["classifier.bias"]
    assert difference(logits, wanted) <= 2 * TOLERANCE
    assert len(load_backbone(tmp_path / "ours").model.heads) == 0


def test_head_of_unknown_kind_is_left_out_and_said(tmp_path: Path) -> None:
    shape = Shape(steps=2)
    tensors = minialbert.with_classifier(base_tensors(shape), shape, labels=3)
    config = config_of(shape)
    del config["architectures"]
    notes = import_checkpoint(write(tmp_path / "nlpie", tensors, config), tmp_path / "ours")
    assert any("classification head was left out" in note for note in notes)
    with pytest.raises(UserError, match="no head of its own"):
        load_static(tmp_path / "ours")


def test_import_and_direct_loading_agree(tmp_path: Path) -> None:
    shape = Shape()
    source = write(tmp_path / "nlpie", base_tensors(shape), config_of(shape), pickled=True)
    notes = import_checkpoint(source, tmp_path / "ours")
    assert any("pooler" in note for note in notes)
    direct, imported = load_backbone(source), load_backbone(tmp_path / "ours")
    assert direct.fingerprint == imported.fingerprint
    assert direct.tokenizer.get_vocab() == imported.tokenizer.get_vocab()
    card = json.loads((tmp_path / "ours" / "card.json").read_text())
    assert card["fingerprint"] == imported.fingerprint
    assert card["imported_from"]["file"] == "pytorch_model.bin"
    assert str(tmp_path) not in json.dumps(card)


def test_auto_map_is_refused_by_loading_and_dropped_by_importing(tmp_path: Path) -> None:
    shape = Shape(steps=2)
    config = config_of(
        shape,
        model_type="MiniAlbert",
        num_groups=1,
        auto_map={"AutoModelForMaskedLM": "modeling_minialbert.MiniAlbertForMaskedLM"},
    )
    source = write(tmp_path / "nlpie", base_tensors(shape), config)
    (source / "modeling_minialbert.py").write_text("raise SystemExit('this code was run')")
    with pytest.raises(UserError, match="refused") as caught:
        load_backbone(source)
    assert "auto_map" in str(caught.value)
    notes = import_checkpoint(source, tmp_path / "ours")
    assert any("auto_map" in note for note in notes)
    assert "auto_map" not in json.loads((tmp_path / "ours" / "config.json").read_text())
    assert load_backbone(tmp_path / "ours").steps == 2


def test_tokenizer_can_come_from_elsewhere(tmp_path: Path) -> None:
    shape = Shape(steps=2)
    source = write(tmp_path / "nlpie", base_tensors(shape), config_of(shape))
    (tmp_path / "words").mkdir()
    (source / "vocab.txt").rename(tmp_path / "words" / "vocab.txt")
    with pytest.raises(UserError, match="no tokenizer"):
        import_checkpoint(source, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()
    import_checkpoint(source, tmp_path / "ours", tokenizer=tmp_path / "words")
    assert load_backbone(tmp_path / "ours").tokenizer.tokenize("the patient") == ["the", "patient"]


def test_half_precision_checkpoint_loads_as_float32(tmp_path: Path) -> None:
    shape = Shape(steps=2)
    tensors = {name: tensor.half() for name, tensor in base_tensors(shape).items()}
    backbone = load_backbone(write(tmp_path / "nlpie", tensors, config_of(shape)))
    assert {parameter.dtype for parameter in backbone.model.parameters()} == {torch.float32}


def test_imported_folder_is_not_imported_again(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(UserError, match="backbone folder already"):
        import_checkpoint(saved, tmp_path / "again")


def test_destination_is_never_overwritten(tmp_path: Path) -> None:
    shape = Shape(steps=2)
    source = write(tmp_path / "nlpie", base_tensors(shape), config_of(shape))
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="already taken"):
        import_checkpoint(source, tmp_path / "ours")
    assert (tmp_path / "ours" / "thesis.txt").read_text() == "years of work"


class TestDamage:
    """A damaged or foreign checkpoint is refused by name, and nothing is written."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        shape = Shape(steps=2)
        return write(tmp_path / "nlpie", base_tensors(shape), config_of(shape))

    def refuse(self, source: Path, *expected: str) -> None:
        target = source.parent / "ours"
        with pytest.raises(UserError) as caught:
            import_checkpoint(source, target)
        message = str(caught.value)
        for words in expected:
            assert words in message
        assert "Traceback" not in message
        assert not target.exists()

    def change(self, source: Path, name: str, tensor: torch.Tensor | None) -> None:
        tensors = load_file(source / "model.safetensors")
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor
        save_file(tensors, source / "model.safetensors")

    @pytest.mark.parametrize(
        "name",
        [
            "albert.projector.weight",
            "albert.albert.embeddings.word_embeddings.weight",
            "albert.att_adapters.1.norm.bias",
            "albert.mlp_adapters.0.block.0.weight",
            "albert.albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.bias",
        ],
    )
    def test_missing_tensor(self, source: Path, name: str) -> None:
        self.change(source, name, None)
        shown = "embedding_hidden_mapping_in" if "projector" in name else name.split(".", 1)[1]
        if name == "albert.projector.weight":
            self.refuse(source, "projector.weight")
        else:
            self.refuse(source, shown.removeprefix("albert."), "model.safetensors")

    def test_unexpected_tensor(self, source: Path) -> None:
        self.change(source, "albert.gates.0.weight", torch.ones(3))
        self.refuse(source, "albert.gates.0.weight", "model.safetensors")

    @pytest.mark.parametrize(
        ("name", "tensor"),
        [
            ("albert.att_adapters.0.block.0.weight", torch.zeros(4, 48)),
            ("albert.albert.embeddings.position_embeddings.weight", torch.zeros(7, 16)),
            ("albert.projector.bias", torch.zeros(1)),
        ],
    )
    def test_wrong_shape(self, source: Path, name: str, tensor: torch.Tensor) -> None:
        self.change(source, name, tensor)
        self.refuse(source, "shape", str(list(tensor.shape)))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_not_finite(self, source: Path, value: float) -> None:
        self.change(source, "albert.mlp_adapters.1.norm.weight", torch.full((48,), value))
        self.refuse(source, "mlp_adapters.1.norm.weight", "not finite")

    def test_integers(self, source: Path) -> None:
        self.change(source, "albert.projector.bias", torch.zeros(48, dtype=torch.int64))
        self.refuse(source, "floating-point", "int64")

    def test_tensor_twice(self, source: Path) -> None:
        self.change(source, "projector.bias", torch.zeros(48))
        self.refuse(source, "twice", "albert.projector.bias")

    def test_adapters_of_a_step_missing(self, source: Path) -> None:
        config = json.loads((source / "config.json").read_text())
        (source / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
        self.refuse(source, "att_adapters.2")

    def test_adapters_stated_but_absent(self, tmp_path: Path) -> None:
        shape = Shape(steps=2, adapters=False)
        config = config_of(shape, use_adapter=True)
        self.refuse(write(tmp_path / "plain", base_tensors(shape), config), "use_adapter")

    def test_reduction_factor_disagrees(self, source: Path) -> None:
        config = json.loads((source / "config.json").read_text())
        (source / "config.json").write_text(json.dumps(config | {"reduction_factor": 8}))
        self.refuse(source, "reduction_factor", "mlp_adapters.0.block.0.weight")

    def test_labels_disagree_with_head(self, tmp_path: Path) -> None:
        shape = Shape(steps=2)
        tensors = minialbert.with_classifier(base_tensors(shape), shape, labels=3)
        config = config_of(
            shape,
            architectures=["MiniAlbertForTokenClassification"],
            id2label={"0": "O", "1": "B-Disease"},
        )
        self.refuse(write(tmp_path / "ner", tensors, config), "labels", "3 rows")

    @pytest.mark.parametrize("keep", [0, 7, 100, -50])
    def test_cut_short(self, source: Path, keep: int) -> None:
        data = (source / "model.safetensors").read_bytes()
        (source / "model.safetensors").write_bytes(data[:keep])
        self.refuse(source, "cannot be read", "model.safetensors")

    @pytest.mark.parametrize("keep", [0, 20, -100])
    def test_pickle_cut_short(self, source: Path, keep: int) -> None:
        (source / "model.safetensors").unlink()
        torch.save({"a": torch.ones(100)}, source / "pytorch_model.bin")
        data = (source / "pytorch_model.bin").read_bytes()
        (source / "pytorch_model.bin").write_bytes(data[:keep])
        self.refuse(source, "cannot be read", "pytorch_model.bin")

    def test_pickle_cannot_run_code(self, source: Path, tmp_path: Path) -> None:
        (source / "model.safetensors").unlink()
        torch.save(_Touch(tmp_path / "touched"), source / "pytorch_model.bin")
        self.refuse(source, "cannot be read", "pytorch_model.bin")
        assert not (tmp_path / "touched").exists()

    def test_pickle_of_something_else(self, source: Path) -> None:
        (source / "model.safetensors").unlink()
        torch.save({"epoch": 3}, source / "pytorch_model.bin")
        self.refuse(source, "other than named tensors")

    def test_pickle_that_claims_more_than_it_holds(self, source: Path) -> None:
        (source / "model.safetensors").unlink()
        torch.save(
            {"albert.projector.weight": torch.zeros(1).expand(40_000, 40_000)},
            source / "pytorch_model.bin",
        )
        self.refuse(source, "claims more numbers")

    def test_no_weights(self, source: Path) -> None:
        (source / "model.safetensors").unlink()
        self.refuse(source, "no weights", "pytorch_model.bin")

    def test_a_layer_of_berts_under_minialberts_configuration(self, source: Path) -> None:
        self.change(source, "bert.encoder.layer.0.output.dense.weight", torch.zeros(48, 48))
        self.refuse(source, "plain BERT", "embedding_size", "16", "48")


class _Touch:
    """Unpickling it the unsafe way would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)
