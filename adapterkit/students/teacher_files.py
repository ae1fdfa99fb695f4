"""Reading a BERT checkpoint as a teacher: its configuration, encoder and masked-LM head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertLMPredictionHead

from adapterkit.backbones.checkpoint_files import find_weights, read_weights
from adapterkit.backbones.safety import check_values, read_json
from adapterkit.backbones.tensors import as_float32, compare_shapes, shapes_of
from adapterkit.runs.errors import UserError

_KEYS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "initializer_range",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "hidden_act",
    "position_embedding_type",
    "pad_token_id",
)
_REQUIRED = _KEYS[:5]
_CODE_KEYS = ("auto_map", "_attn_implementation", "trust_remote_code")
_OURS = ("embeddings.", "encoder.")
_HEAD = "cls.predictions."
_DECODER, _BIAS, _DECODER_BIAS = "decoder.weight", "bias", "decoder.bias"


def read_teacher_config(path: Path) -> BertConfig:
    """The configuration of a BERT encoder; keys that describe no model are left out.

    Args:
        path: A ``config.json``.

    Raises:
        UserError: The file is missing or damaged, describes another kind of model, a value is out
            of range, or a key would choose code to run.
    """
    raw = read_json(path)
    kind = "MiniALBERT" if "embedding_size" in raw else raw.get("model_type", "bert")
    if kind != "bert":
        raise UserError(
            "This kind of model cannot be a teacher.",
            where=f"{path}: model_type",
            found=str(kind)[:100],
            allowed="'bert': an encoder of BERT's architecture",
        )
    for key in raw:
        if key.startswith(_CODE_KEYS):
            raise UserError(
                "The configuration has a key that is refused: it would choose code to run.",
                where=f"{path}: {key[:100]}",
                hint="remove the key if you trust the rest",
            )
    values: dict[str, Any] = {key: raw[key] for key in _KEYS if key in raw}
    for key in _REQUIRED:
        if key not in values:
            raise UserError("A key is missing.", where=str(path), allowed=f"a value for {key!r}")
    check_values(values, path)
    return BertConfig(**values)


def read_teacher_tensors(folder: Path, config: BertConfig) -> tuple[BertModel, nn.Module | None]:
    """The encoder and, where the checkpoint has one, the masked-LM head.

    Args:
        folder: Holds the weights, as safetensors or as a pickle of tensors.
        config: The encoder's configuration.

    Raises:
        UserError: There are no weights, or they are damaged, incomplete or misshapen.
    """
    path = find_weights(folder)
    tensors = {_current_name(name): tensor for name, tensor in read_weights(path).items()}
    encoder = BertModel(config, add_pooling_layer=False)
    _load(encoder, {n: t for n, t in tensors.items() if n.startswith(_OURS)}, path)
    found = {n.removeprefix(_HEAD): t for n, t in tensors.items() if n.startswith(_HEAD)}
    if not found:
        return encoder, None
    head = masked_lm_head(encoder)
    table = encoder.embeddings.word_embeddings.weight
    if _DECODER in found and not torch.equal(found[_DECODER].to(table.dtype), table):
        head.decoder.weight = nn.Parameter(torch.empty_like(table))
    found.setdefault(_DECODER, table.detach())
    # Checkpoints name the one bias of the decoder once or twice, as their version did.
    for name, other in ((_BIAS, _DECODER_BIAS), (_DECODER_BIAS, _BIAS)):
        if name not in found and other in found:
            found[name] = found[other]
    _load(head, found, path)
    return encoder, head


def masked_lm_head(encoder: BertModel) -> Any:
    """A fresh masked-LM head whose decoder is the embedding table of `encoder`.

    Its transform is initialised as BERT's: N(0, ``initializer_range``), from torch's generator.
    """
    head = BertLMPredictionHead(encoder.config)
    nn.init.normal_(head.transform.dense.weight, std=encoder.config.initializer_range)
    nn.init.zeros_(head.transform.dense.bias)
    head.decoder.weight = encoder.embeddings.word_embeddings.weight
    head.decoder.bias = head.bias
    return head


def _current_name(name: str) -> str:
    """The name that transformers gives a tensor today; TensorFlow's ended in gamma and beta."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )


def _load(module: nn.Module, found: Mapping[str, torch.Tensor], path: Path) -> None:
    # Old checkpoints store positions, which are counted and not learned.
    tensors = {n: t for n, t in found.items() if not n.endswith("embeddings.position_ids")}
    compare_shapes(path, shapes_of(tensors), shapes_of(module.state_dict()))
    module.load_state_dict(as_float32(path, tensors))
