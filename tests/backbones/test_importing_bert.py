"""Published BERT checkpoints, held to transformers' BertModel at every layer."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from adapterkit.backbones.exporting import export_albert
from adapterkit.backbones.importing import import_checkpoint
from adapterkit.backbones.loading import load_backbone, save_backbone
from adapterkit.backbones.packaged import MINILM, MINILM_PACKAGE
from adapterkit.backbones.sharing import sharing
from adapterkit.backbones.static import load_static
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.ledger import ledger
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError

from .conftest import WORDS

TOLERANCE = 1e-5
LAYERS, WIDTH, INNER = 3, 32, 48
BLOCK = 4 * (WIDTH * WIDTH + WIDTH) + 2 * WIDTH * INNER + INNER + WIDTH + 4 * WIDTH
TABLES = (len(WORDS) + 24 + 2 + 2) * WIDTH
IDS = torch.tensor([[2, 5, 6, 7, 8, 9, 5, 3], [2, 9, 7, 3, 0, 0, 0, 0]])
TYPES = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [0] * 8])
INPUTS = {"input_ids": IDS, "token_type_ids": TYPES, "attention_mask": (IDS != 0).long()}


def bert_config(**changes: Any) -> BertConfig:
    settings: dict[str, Any] = {
        "vocab_size": len(WORDS),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": INNER,
        "max_position_embeddings": 24,
    }
    return BertConfig(**(settings | changes))


def random_bert(model_class: Any = BertModel, **changes: Any) -> Any:
    """A BERT whose every parameter is random, layer norms and biases included."""
    model = model_class(bert_config(**changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def write(folder: Path, model: Any, state: dict[str, torch.Tensor] | None = None) -> Path:
    """The folder transformers writes; with `state`, that as a pickle for its weights."""
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    if state is not None:
        (folder / "model.safetensors").unlink()
        torch.save(state, folder / "pytorch_model.bin")
    return folder


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def states_of(model: Any) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        states: tuple[torch.Tensor, ...] = model(**INPUTS, output_hidden_states=True).hidden_states
    return states


def assert_same_states(backbone: Any, bert: Any) -> None:
    ours, theirs = states_of(backbone), states_of(bert)
    assert len(ours) == len(theirs) == bert.config.num_hidden_layers + 1
    real = INPUTS["attention_mask"].bool()
    for mine, wanted in zip(ours, theirs, strict=True):
        assert float((mine - wanted)[real].abs().max()) <= TOLERANCE
    assert theirs[-1].std() > 0.3, "the comparison must be of states that differ"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "bert", random_bert())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_every_layer_is_berts(tmp_path: Path, attention: str, activation: str) -> None:
    bert = random_bert(hidden_act=activation, layer_norm_eps=1e-6, type_vocab_size=3)
    source = write(tmp_path / "bert", bert)
    import_checkpoint(source, tmp_path / "ours")
    backbone = load_backbone(tmp_path / "ours", attn_implementation=attention)
    assert (backbone.steps, backbone.hidden_size, backbone.has_layerwise) == (LAYERS, WIDTH, False)
    assert_same_states(backbone.model, bert)


def named_by_tensorflow(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, tensor in state.items():
        for new, old in names.items():
            name = name.replace(new, old)
        renamed[name] = tensor
    return renamed | {"bert.embeddings.position_ids": torch.arange(24)[None]}


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickle"])
@pytest.mark.parametrize(
    ("model_class", "keywords"),
    [
        (BertModel, {}),
        (BertModel, {"add_pooling_layer": False}),
        (BertForMaskedLM, {}),
        (BertForPreTraining, {}),
        (BertForTokenClassification, {}),
    ],
    ids=["base", "no-pooler", "masked-lm", "pre-training", "tokens"],
)
def test_layouts(tmp_path: Path, model_class: Any, keywords: Any, pickled: bool) -> None:
    model = random_bert(lambda config: model_class(config, **keywords))
    state = named_by_tensorflow(model.state_dict()) if pickled else None
    import_checkpoint(write(tmp_path / "bert", model, state), tmp_path / "ours")
    assert_same_states(load_backbone(tmp_path / "ours").model, getattr(model, "bert", model))


def test_importing_and_loading_directly_agree(source: Path, tmp_path: Path) -> None:
    notes = import_checkpoint(source, tmp_path / "ours")
    direct, imported = load_backbone(source), load_backbone(tmp_path / "ours")
    assert direct.fingerprint == imported.fingerprint
    assert direct.tokenizer.get_vocab() == imported.tokenizer.get_vocab()
    card = json.loads((tmp_path / "ours" / "card.json").read_text())
    assert card["fingerprint"] == imported.fingerprint
    assert card["shared"] == sharing(imported.model.config)
    assert card["shared"].startswith("nothing: every one of the 3 steps")
    assert any("share nothing" in note for note in notes)
    assert any("pooler was left out" in note for note in notes)
    assert str(tmp_path) not in json.dumps(card)


def test_no_two_steps_share_a_parameter(source: Path) -> None:
    model = load_backbone(source).model
    assert sum(parameter.numel() for parameter in model.parameters()) == LAYERS * BLOCK + TABLES
    blocks = model.albert.encoder.blocks()
    held = [parameter for block in blocks for parameter in block.parameters()]
    assert len({parameter.data_ptr() for parameter in held}) == len(held) == LAYERS * 16


def test_layers_that_happen_to_be_equal_stay_apart(tmp_path: Path) -> None:
    bert = random_bert()
    bert.encoder.layer[2].load_state_dict(bert.encoder.layer[0].state_dict())
    import_checkpoint(write(tmp_path / "bert", bert), tmp_path / "ours")
    model = load_backbone(tmp_path / "ours").model
    assert model.config.block_of_step == [0, 1, 2]
    assert sum(parameter.numel() for parameter in model.parameters()) == LAYERS * BLOCK + TABLES


def test_saving_again_keeps_the_fingerprint(source: Path, tmp_path: Path) -> None:
    first = load_backbone(source)
    save_backbone(first.model, first.tokenizer, tmp_path / "saved", card={})
    second = load_backbone(tmp_path / "saved")
    assert second.fingerprint == first.fingerprint
    for one, other in zip(states_of(first.model), states_of(second.model), strict=True):
        assert torch.equal(one, other)


def test_exporting_as_albert_and_back(source: Path, tmp_path: Path) -> None:
    first = load_backbone(source)
    export_albert(first, tmp_path / "albert")
    again = load_backbone(tmp_path / "albert")
    torch.testing.assert_close(states_of(again.model)[-1], states_of(first.model)[-1])


@pytest.mark.parametrize("tied", [True, False])
def test_masked_lm_head_is_kept(tmp_path: Path, tied: bool) -> None:
    bert = random_bert(BertForMaskedLM, tie_word_embeddings=tied)
    import_checkpoint(write(tmp_path / "bert", bert), tmp_path / "ours")
    model = load_static(tmp_path / "ours")
    with torch.no_grad():
        ours, theirs = model(**INPUTS).logits, bert(**INPUTS).logits
    assert float((ours - theirs)[INPUTS["attention_mask"].bool()].abs().max()) <= 5 * TOLERANCE


def test_a_masked_lm_head_that_no_head_here_equals_is_left_out_and_said(tmp_path: Path) -> None:
    bert = random_bert(BertForMaskedLM, tie_word_embeddings=False, hidden_act="relu")
    notes = import_checkpoint(write(tmp_path / "bert", bert), tmp_path / "ours")
    assert any("masked-LM head was left out" in note for note in notes)
    assert not (tmp_path / "ours" / "head.safetensors").exists()


@pytest.mark.parametrize("model_class", [BertForTokenClassification, BertForSequenceClassification])
def test_classification_heads_are_kept(tmp_path: Path, model_class: Any) -> None:
    labels = {0: "O", 1: "B-Disease", 2: "I-Disease"}
    bert = random_bert(model_class, id2label=labels, label2id={v: k for k, v in labels.items()})
    import_checkpoint(write(tmp_path / "bert", bert), tmp_path / "ours")
    model = load_static(tmp_path / "ours")
    assert model.config.id2label == labels
    with torch.no_grad():
        ours, theirs = model(**INPUTS).logits, bert(**INPUTS).logits
    real = INPUTS["attention_mask"].bool()
    kept = real if ours.ndim == 3 else slice(None)
    assert float((ours - theirs)[kept].abs().max()) <= 2 * TOLERANCE


class TestPlans:
    """Plans on a backbone whose steps share nothing."""

    def applied(self, source: Path, plan: str) -> Any:
        model = load_backbone(source).model
        model.add_tagging_head("task", num_labels=5)
        return apply_plan(model, StepPlan.parse(plan), name="task")

    def learn(self, applied: Any) -> set[str]:
        """The names of the parameters that a step of training changes."""
        model = applied.model
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        learning = [p for p in model.parameters() if p.requires_grad]
        model(**INPUTS).logits.sum().backward()
        torch.optim.SGD(learning, lr=0.1).step()
        return {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}

    def test_full_trains_everything(self, source: Path) -> None:
        applied = self.applied(source, "full")
        counted = ledger(applied)
        assert counted.backbone == LAYERS * BLOCK + TABLES
        assert counted.head == WIDTH * 5 + 5
        assert counted.trainable == counted.backbone + counted.head
        assert counted.shipped_bytes == 4 * counted.trainable
        assert [row.trainable for row in counted.steps] == [BLOCK] * LAYERS
        changed = self.learn(applied)
        for step in range(LAYERS):
            place = f"albert.encoder.albert_layer_groups.{step}.albert_layers.0.ffn.weight"
            assert place in changed
        blocks = applied.model.albert.encoder.blocks()
        moved = [block.ffn.weight.grad for block in blocks]
        assert not torch.equal(moved[0], moved[1])

    @pytest.mark.parametrize("mechanism", ["full", "untied"])
    def test_some_steps(self, source: Path, mechanism: str) -> None:
        applied = self.applied(source, f"0:frozen 1-2:{mechanism}")
        counted = ledger(applied)
        assert applied.block_of_step == [0, 1, 2]
        assert [row.trainable for row in counted.steps] == [0, BLOCK, BLOCK]
        assert counted.trainable == 2 * BLOCK + counted.head
        assert counted.backbone == LAYERS * BLOCK + TABLES
        assert not any("albert_layer_groups.0." in name for name in self.learn(applied))

    def test_adapter(self, source: Path) -> None:
        applied = self.applied(source, "adapter")
        assert 0 < ledger(applied).task < BLOCK
        assert all("adapters.task" in n or n.startswith("heads.") for n in self.learn(applied))

    def test_layerwise_is_refused(self, source: Path) -> None:
        with pytest.raises(UserError, match="no layer-wise adapters") as caught:
            self.applied(source, "layerwise")
        assert "full" in str(caught.value)


class TestDamage:
    """A checkpoint that contradicts itself is refused by name, and nothing is written."""

    def refuse(self, source: Path, *expected: str) -> None:
        target = source.parent / "ours"
        for read in (lambda: import_checkpoint(source, target), lambda: load_backbone(source)):
            with pytest.raises(UserError) as caught:
                read()
            for words in expected:
                assert words in str(caught.value)
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
            "embeddings.word_embeddings.weight",
            "embeddings.LayerNorm.bias",
            "encoder.layer.1.attention.self.query.weight",
            "encoder.layer.2.output.LayerNorm.bias",
        ],
    )
    def test_missing_tensor(self, source: Path, name: str) -> None:
        self.change(source, name, None)
        self.refuse(source, "lacks a tensor", name, "model.safetensors")

    @pytest.mark.parametrize(
        "name",
        ["encoder.layer.0.crossattention.self.key.weight", "encoder.layer.0.gate.weight"],
    )
    def test_unexpected_tensor(self, source: Path, name: str) -> None:
        self.change(source, name, torch.zeros(WIDTH, WIDTH))
        self.refuse(source, name, "no known layout")

    @pytest.mark.parametrize("name", ["encoder.layer.1.intermediate.dense.weight"])
    def test_wrong_shape(self, source: Path, name: str) -> None:
        self.change(source, name, torch.zeros(7, WIDTH))
        self.refuse(source, "shape", name, f"[7, {WIDTH}]", f"[{INNER}, {WIDTH}]")

    def test_tensor_twice(self, source: Path) -> None:
        self.change(source, "bert.embeddings.LayerNorm.bias", torch.zeros(WIDTH))
        self.refuse(source, "twice", "bert.embeddings.LayerNorm.bias")

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
            ({"is_decoder": True}, "is_decoder"),
            ({"add_cross_attention": True}, "add_cross_attention"),
            ({"model_type": "roberta"}, "roberta"),
            ({"model_type": "albert"}, "model_type"),
            ({"num_hidden_layers": 4}, "num_hidden_layers"),
            ({"num_hidden_layers": 2}, "num_hidden_layers"),
            ({"intermediate_size": 64}, "encoder.layer.0.intermediate.dense"),
            ({"vocab_size": 40}, "embeddings.word_embeddings.weight"),
            ({"max_position_embeddings": 512}, "embeddings.position_embeddings.weight"),
            ({"num_attention_heads": 5}, "num_attention_heads"),
            ({"embedding_size": 16}, "embedding_size"),
            ({"use_adapter": True}, "use_adapter"),
            ({"auto_map": {"AutoModel": "modeling.Model"}}, "auto_map"),
        ],
    )
    def test_configuration(self, source: Path, changes: dict[str, Any], expected: str) -> None:
        edit(source, **changes)
        self.refuse(source, expected)

    def test_configuration_as_old_checkpoints_write_it(self, source: Path) -> None:
        edit(source, pooler_type="first_token_transform", directionality="bidi", is_decoder=False)
        assert load_backbone(source).steps == LAYERS

    def test_cut_short(self, source: Path) -> None:
        data = (source / "model.safetensors").read_bytes()
        (source / "model.safetensors").write_bytes(data[:-50])
        self.refuse(source, "cannot be read", "model.safetensors")

    def test_tokenizer_with_ids_beyond_the_table(self, source: Path) -> None:
        (source / "vocab.txt").write_text("\n".join([*WORDS, "more"]))
        self.refuse(source, "tokenizer does not belong", f"vocab_size, {len(WORDS)}")

    def test_tokenizer_that_pads_with_another_id(self, source: Path) -> None:
        edit(source, pad_token_id=1)
        self.refuse(source, "tokenizer does not belong", "pad_token_id")

    def test_tokenizer_of_a_much_smaller_vocabulary(self, tmp_path: Path) -> None:
        source = write(tmp_path / "bert", random_bert(vocab_size=200))
        self.refuse(source, "tokenizer does not belong to this backbone", "200")


def test_minilm_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapterkit.backbones.packaged.MINILM_PACKAGE", "no_such_package")
    with pytest.raises(UserError, match="not installed") as caught:
        load_backbone(MINILM)
    assert "adapterkit[teacher]" in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec(MINILM_PACKAGE) is None, reason="the teacher is not installed"
)
def test_minilm_is_imported(tmp_path: Path) -> None:
    from adapterkit.backbones.packaged import minilm_folder

    import_checkpoint(MINILM, tmp_path / "minilm")
    backbone = load_backbone(tmp_path / "minilm")
    bert = BertModel.from_pretrained(minilm_folder(), add_pooling_layer=False).eval()
    inputs = backbone.tokenizer(
        ["Renal failure followed high doses of aspirin.", "Asthma."],
        padding=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        ours = backbone.model(**inputs, output_hidden_states=True).hidden_states
        theirs = bert(**inputs, output_hidden_states=True).hidden_states
    real = inputs["attention_mask"].bool()
    assert len(ours) == len(theirs) == 7
    for mine, wanted in zip(ours, theirs, strict=True):
        assert float((mine - wanted)[real].abs().max()) <= TOLERANCE
    backbone.model.add_tagging_head("task", num_labels=5)
    counted = ledger(apply_plan(backbone.model, StepPlan.parse("full"), name="task"))
    # Embeddings of (30522 + 512 + 2 + 2) * 384, six layers of 1,774,464.
    assert counted.backbone == 22_565_376
    assert counted.trainable == counted.backbone + 5 * 384 + 5
