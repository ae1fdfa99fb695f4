from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    BertTokenizerFast,
    PreTrainedTokenizerFast,
)

from adapterkit.backbones.packaged import MINILM, MINILM_PACKAGE
from adapterkit.runs.errors import UserError
from adapterkit.students.teacher import load_teacher, save_teacher
from tests.students.conftest import WORDS

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


def _config(**changes: Any) -> BertConfig:
    sizes = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "max_position_embeddings": 64,
    }
    return BertConfig(**(sizes | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A masked-LM checkpoint as transformers writes it, with its tokenizer."""
    torch.manual_seed(0)
    path = tmp_path / "tiny-bert"
    model = BertForMaskedLM(_config())
    with torch.no_grad():
        model.cls.predictions.bias.normal_()
    model.save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    return path


def _edit(path: Path, **changes: Any) -> None:
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _batch() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 6, 3, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def _scores(source: Path) -> torch.Tensor:
    teacher = load_teacher(source)
    assert teacher.head is not None
    with torch.no_grad():
        scores: torch.Tensor = teacher.head(teacher.encoder(**_batch()).last_hidden_state)
    return scores


def test_encoder_and_head_compute_what_the_checkpoint_does(folder: Path) -> None:
    with torch.no_grad():
        expected = BertForMaskedLM.from_pretrained(folder).eval()(**_batch()).logits
    assert torch.equal(_scores(folder), expected)
    teacher = load_teacher(folder)
    assert teacher.id == "tiny-bert"
    assert (teacher.layers, teacher.hidden_size, teacher.heads) == (2, 16, 4)
    assert not teacher.encoder.training
    assert not any(p.requires_grad for p in teacher.encoder.parameters())


def test_a_pickle_with_the_names_of_tensorflow_is_read(folder: Path) -> None:
    model = BertForMaskedLM.from_pretrained(folder).eval()
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in model.state_dict().items()
        if "decoder" not in name
    }
    state["bert.embeddings.position_ids"] = torch.arange(64)[None]
    state["cls.seq_relationship.weight"] = torch.zeros(2, 16)
    state["bert.pooler.dense.weight"] = torch.zeros(16, 16)
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with torch.no_grad():
        assert torch.equal(_scores(folder), model(**_batch()).logits)


def test_a_decoder_of_its_own_is_kept(folder: Path) -> None:
    model = BertForMaskedLM(_config(tie_word_embeddings=False)).eval()
    model.save_pretrained(folder)
    with torch.no_grad():
        expected = model(**_batch()).logits
    assert torch.allclose(_scores(folder), expected, atol=1e-6)


def test_a_bare_encoder_has_no_head(folder: Path) -> None:
    model = BertModel(_config()).eval()
    model.save_pretrained(folder)
    teacher = load_teacher(folder)
    assert teacher.head is None
    with torch.no_grad():
        expected = model(**_batch()).last_hidden_state
        assert torch.equal(teacher.encoder(**_batch()).last_hidden_state, expected)


@pytest.mark.parametrize("kind", ["tied", "untied", "bare"])
def test_a_saved_teacher_is_loaded_again(folder: Path, tmp_path: Path, kind: str) -> None:
    config = _config(tie_word_embeddings=kind == "tied")
    model = BertModel(config) if kind == "bare" else BertForMaskedLM(config)
    model.save_pretrained(folder)
    first = load_teacher(folder)
    save_teacher(first, tmp_path / "saved")
    again = load_teacher(tmp_path / "saved")
    with torch.no_grad():
        states = first.encoder(**_batch()).last_hidden_state
        assert torch.equal(again.encoder(**_batch()).last_hidden_state, states)
        assert (again.head is None) == (kind == "bare")
        if first.head is not None and again.head is not None:
            assert torch.equal(again.head(states), first.head(states))
    assert again.tokenizer.get_vocab() == first.tokenizer.get_vocab()
    with pytest.raises(UserError, match="taken"):
        save_teacher(first, tmp_path / "saved")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_type": "roberta"}, "roberta"),
        ({"embedding_size": 8}, "MiniALBERT"),
        ({"auto_map": {"AutoModel": "x.py"}}, "auto_map"),
        ({"_attn_implementation_internal": "x/y"}, "_attn_implementation"),
        ({"num_hidden_layers": 3}, "encoder.layer.2"),
        ({"hidden_size": 20}, "embeddings"),
        ({"vocab_size": "many"}, "vocab_size"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    folder: Path, changes: dict[str, Any], told: str
) -> None:
    _edit(folder, **changes)
    with pytest.raises(UserError) as error:
        load_teacher(folder)
    assert told in str(error.value)


def test_a_tokenizer_with_ids_beyond_the_table_is_refused(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join([*VOCABULARY, "asthmatic"]), encoding="utf-8")
    with pytest.raises(UserError, match="does not belong") as error:
        load_teacher(folder)
    assert str(len(VOCABULARY)) in str(error.value)


def test_a_tokenizer_of_a_much_smaller_vocabulary_is_refused(folder: Path) -> None:
    BertForMaskedLM(_config(vocab_size=200)).save_pretrained(folder)
    with pytest.raises(UserError, match="does not belong") as error:
        load_teacher(folder)
    assert "200" in str(error.value)


def test_a_tokenizer_that_pads_with_another_id_is_refused(folder: Path) -> None:
    _edit(folder, pad_token_id=1)
    with pytest.raises(UserError, match="does not belong"):
        load_teacher(folder)


def test_a_tokenizer_without_a_mask_is_refused(folder: Path) -> None:
    model = BertTokenizerFast(str(folder / "vocab.txt")).backend_tokenizer
    (folder / "vocab.txt").unlink()
    PreTrainedTokenizerFast(
        tokenizer_object=model,
        **{f"{n}_token": f"[{n.upper()}]" for n in ("pad", "unk", "cls", "sep")},
    ).save_pretrained(folder)
    with pytest.raises(UserError, match="mask_token") as error:
        load_teacher(folder)
    assert "lacks" in str(error.value)


def test_damaged_weights_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError) as error:
        load_teacher(folder)
    assert "model.safetensors" in str(error.value)


def test_an_unknown_name_is_answered_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        load_teacher("minilm-l12")
    assert MINILM in (error.value.hint or "")


def test_a_repository_that_cannot_be_fetched_is_told_as_a_teacher(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="teacher") as error:
        load_teacher("owner/no-such-bert")
    assert "owner/no-such-bert" in str(error.value)


@pytest.mark.skipif(
    importlib.util.find_spec(MINILM_PACKAGE) is None, reason="the teacher is not installed"
)
def test_minilm_is_read_from_its_package() -> None:
    teacher = load_teacher(MINILM)
    assert (teacher.layers, teacher.hidden_size, teacher.heads) == (6, 384, 12)
    assert teacher.head is None
    assert teacher.tokenizer.tokenize("Renal failure") == ["renal", "failure"]
