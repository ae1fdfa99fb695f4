"""Configurations from outside: an allow-list of keys, and ranges for values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapterkit.backbones.importing import import_checkpoint
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.safety import read_config
from adapterkit.backbones.static import load_static
from adapterkit.runs.errors import UserError

from .minialbert import Shape, base_tensors, config_of, write

HOSTILE = {
    "_attn_implementation": "someone/kernel",
    "_attn_implementation_internal": "someone/kernel",
    "_attn_implementation_autoset": True,
    "attn_implementation": "someone/kernel",
    "auto_map": {"AutoModel": "modeling.Model"},
    "trust_remote_code": True,
    "custom_pipelines": {"x": {"impl": "x.X"}},
    "quantization_config": {"quant_method": "aqlm"},
    "adapters": {"adapters": {}},
    "prediction_heads": {"x": {}},
    "pruned_heads": {"0": [0]},
    "is_decoder": True,
    "__class__": "os.system",
    "hiden_size": 32,
}
OUT_OF_RANGE = [
    ("hidden_size", -32),
    ("hidden_size", 0),
    ("hidden_size", 10**9),
    ("hidden_size", "32"),
    ("hidden_size", 32.0),
    ("hidden_size", True),
    ("hidden_size", None),
    ("vocab_size", 10**12),
    ("num_hidden_layers", 0),
    ("num_hidden_layers", 10_000),
    ("num_attention_heads", 5),
    ("inner_group_num", 2),
    ("layer_norm_eps", -1e-12),
    ("layer_norm_eps", float("nan")),
    ("layer_norm_eps", float("inf")),
    ("hidden_dropout_prob", 1.0),
    ("hidden_dropout_prob", [0.1]),
    ("hidden_act", "os.system"),
    ("hidden_act", {"a": 1}),
    ("position_embedding_type", "relative_key"),
    ("pad_token_id", -1),
    ("pad_token_id", 50),
]


def altered(path: Path, **changes: Any) -> None:
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_are_refused_everywhere(saved: Path, tmp_path: Path, key: str) -> None:
    shape = Shape(steps=2)
    foreign = write(tmp_path / "nlpie", base_tensors(shape), config_of(shape))
    for path in (saved, foreign):
        altered(path, **{key: HOSTILE[key]})
        for call in (load_backbone, load_static):
            message = refusal(call, path)
            assert key in message
            assert "config.json" in message
    assert key in refusal(import_checkpoint, foreign, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_a_misspelt_key_names_the_right_one(saved: Path) -> None:
    altered(saved, hiden_size=32)
    assert "did you mean 'hidden_size'?" in refusal(load_backbone, saved)


@pytest.mark.parametrize(("key", "value"), OUT_OF_RANGE)
def test_values_out_of_range(saved: Path, key: str, value: Any) -> None:
    altered(saved, **{key: value})
    message = refusal(load_backbone, saved)
    assert key in message
    assert "config.json" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_of_step", [0, 0]),
        ("block_of_step", [1, 0, 0, 0]),
        ("block_of_step", "0000"),
        ("tied", "some"),
        ("own_parameters", ["9.ffn.weight"]),
        ("own_parameters", ["0.__class__"]),
        ("own_parameters", "0.ffn.weight"),
        ("embedding_projection", 1),
        ("embedding_projection", False),
        ("embedding_adapter_size", 0),
        ("mlm_head", "none"),
    ],
)
def test_our_own_keys(saved: Path, key: str, value: Any) -> None:
    altered(saved, **{key: value})
    assert "config.json" in refusal(load_backbone, saved)


def test_a_config_larger_than_its_weights_takes_no_memory(saved: Path) -> None:
    altered(saved, vocab_size=1_000_000, embedding_size=16_384)
    assert "[50, 16]" in refusal(load_backbone, saved)


@pytest.mark.parametrize("key", ["hidden_size", "vocab_size", "num_hidden_layers"])
def test_missing_key(saved: Path, key: str) -> None:
    config = json.loads((saved / "config.json").read_text())
    del config[key]
    (saved / "config.json").write_text(json.dumps(config))
    assert key in refusal(load_backbone, saved)


@pytest.mark.parametrize("model_type", ["gpt2", "bert-base", None, 3, ["bert"]])
def test_other_model_types(saved: Path, model_type: Any) -> None:
    altered(saved, model_type=model_type)
    message = refusal(load_backbone, saved)
    assert "model_type" in message
    assert "recursive_albert" in message


def test_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(" " * (5 << 20))
    assert "too large" in refusal(read_config, tmp_path / "config.json")


def test_published_config_is_read(tmp_path: Path) -> None:
    """All that nlpie/clinical-miniALBERT-312's config.json says, word for word."""
    shape = Shape(28_996, 312, 768, 6, 12, 3072, 512)
    (tmp_path / "config.json").write_text(json.dumps(config_of(shape)))
    values = read_config(tmp_path / "config.json")
    assert values["embedding_size"] == 312
    assert values["reduction_factor"] == 16
    assert "use_cache" not in values


class TestTokenizer:
    @pytest.mark.parametrize(
        "change",
        [
            {"auto_map": {"AutoTokenizer": ["tokenization.T", None]}},
            {"tokenizer_class": "os.system"},
            {"tokenizer_class": "LlamaTokenizer"},
            {"tokenizer_class": ["BertTokenizer"]},
        ],
    )
    def test_files_that_choose_code(self, saved: Path, change: dict[str, Any]) -> None:
        file = saved / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        assert "tokenizer" in refusal(load_backbone, saved)

    @pytest.mark.parametrize("text", ["", "{}", "not json", '{"model": {"type": "BPE"}}'])
    def test_damaged(self, saved: Path, text: str) -> None:
        (saved / "tokenizer.json").write_text(text)
        assert "tokenizer" in refusal(load_backbone, saved)

    @pytest.mark.parametrize(
        ("words", "pieces"), [(["Patient"], ["Patient"]), (["patient"], ["patient"])]
    )
    def test_bare_vocabulary_tells_its_case(
        self, tmp_path: Path, words: list[str], pieces: list[str]
    ) -> None:
        shape = Shape(steps=2)
        path = write(tmp_path / "nlpie", base_tensors(shape), config_of(shape))
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        (path / "vocab.txt").write_text("\n".join([*special, *words]))
        assert load_backbone(path).tokenizer.tokenize("Patient") == pieces
