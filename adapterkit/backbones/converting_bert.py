"""Turning a published BERT into a recursive backbone whose steps share nothing, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adapterkit.backbones.bert_layers import layer_name
from adapterkit.backbones.canonical import canonical_shapes
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.converted import Converted
from adapterkit.backbones.foreign_heads import classifier_class, convert_head
from adapterkit.backbones.layouts import new_names
from adapterkit.backbones.tensors import as_float32, compare_shapes, shapes_of
from adapterkit.backbones.tying import BLOCK_PARAMETERS, STEP_PREFIX
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
    "pad_token_id",
    "id2label",
    "label2id",
)
_TABLE = "embeddings.word_embeddings.weight"
_DECODER, _DECODER_BIAS, _BIAS = (
    "predictions.decoder.weight",
    "predictions.decoder.bias",
    "predictions.bias",
)
_POOLER_NOTE = "The pooler was left out: the heads added here read the token states."
_DROPOUT_NOTE = (
    "It computes what BERT does; only in training has the block, which is ALBERT's, no dropout "
    "behind its feed-forward layer, where BERT has one."
)


def convert_bert(
    values: Mapping[str, Any], raw: Mapping[str, torch.Tensor], path: Path, weights: Path
) -> Converted:
    """Read a BERT encoder as a backbone: layer K is step K, with a block of its own.

    In evaluation it computes what BERT does; in training it lacks BERT's dropout behind the
    feed-forward layer. The pooler is kept only for a head of the
    checkpoint's that reads it.

    Args:
        values: The checked configuration.
        raw: Tensors by the names they are stored by.
        path: ``config.json``, for messages.
        weights: The weights file, for messages.

    Raises:
        UserError: Configuration and tensors contradict each other.
    """
    _check_config(values, path)
    kept = {new: raw[old] for new, old in new_names(raw, weights).items()}
    _check_layers(kept, values, path)
    kept, own_decoder, notes = _with_one_decoder(kept, values)
    pooled = _is_pooled(kept, values)
    if not pooled and any(name.startswith("pooler.") for name in kept):
        kept = {name: t for name, t in kept.items() if not name.startswith("pooler.")}
        notes = (*notes, _POOLER_NOTE)
    config = RecursiveConfig(
        **{key: values[key] for key in _KEYS if key in values},
        embedding_size=values["hidden_size"],
        block_of_step=list(range(values["num_hidden_layers"])),
        embedding_projection=False,
        use_pooler=pooled,
        mlm_head="miniALBERT" if own_decoder else "albert",
    )
    encoder = {n: t for n, t in kept.items() if n.startswith(("embeddings.", "block.", "pooler."))}
    names = _places(config)
    expected = canonical_shapes(config)
    compare_shapes(
        weights,
        {_bert_name(name): shape for name, shape in shapes_of(encoder).items()},
        {_bert_name(name): expected[place] for name, place in names.items()},
    )
    head, head_notes = convert_head(kept, config, values, weights)
    tensors = as_float32(weights, {place: encoder[name] for name, place in names.items()})
    shares = f"The steps share nothing: each of the {config.num_hidden_layers} layers is a step."
    notes = (shares, _DROPOUT_NOTE, *notes, *head_notes)
    return Converted(config, tensors, {}, head, weights, notes, bert=True)


def _check_config(values: Mapping[str, Any], path: Path) -> None:
    layers, width = values["num_hidden_layers"], values["hidden_size"]
    for key, needed in (
        ("model_type", "bert"),
        ("embedding_size", width),
        ("num_hidden_groups", layers),
        ("use_adapter", False),
    ):
        if values.get(key, needed) != needed:
            raise UserError(
                "The configuration is not that of the weights, which are a plain BERT's.",
                where=f"{path}: {key}",
                found=repr(values[key]),
                allowed=repr(needed),
            )


def _check_layers(kept: Mapping[str, Any], values: Mapping[str, Any], path: Path) -> None:
    found = {int(name.split(".")[1]) for name in kept if name.startswith("block.")}
    layers = values["num_hidden_layers"]
    if found != set(range(layers)):
        raise UserError(
            "The checkpoint's layers are not those its configuration names.",
            where=f"{path}: num_hidden_layers",
            found=f"tensors of encoder.layer.{', '.join(map(str, sorted(found)))}",
            allowed=f"the layers 0 to {layers - 1}",
        )


def _with_one_decoder(
    kept: Mapping[str, torch.Tensor], values: Mapping[str, Any]
) -> tuple[dict[str, torch.Tensor], bool, tuple[str, ...]]:
    """The masked-LM head as one of ours, whether its decoder is its own, and notes.

    ALBERT's head is BERT's where the decoder is the embedding table, MiniALBERT's where it is not
    and the activation is GELU.
    """
    rest = {name: t for name, t in kept.items() if name not in (_DECODER, _DECODER_BIAS, _BIAS)}
    decoder, table = kept.get(_DECODER), kept.get(_TABLE)
    # Checkpoints name the one bias of the decoder once or twice, as their version did.
    bias = kept.get(_BIAS, kept.get(_DECODER_BIAS))
    biases = {} if bias is None else {_BIAS: bias}
    if decoder is None or (table is not None and torch.equal(decoder, table)):
        return rest | biases, False, ()
    if values.get("hidden_act", "gelu") == "gelu":
        own = {_DECODER: decoder} | ({} if bias is None else {_DECODER_BIAS: bias})
        return rest | own, True, ()
    encoder = {name: t for name, t in rest.items() if not name.startswith("predictions.")}
    note = "The masked-LM head was left out: no head here has its decoder and its activation."
    return encoder, False, (note,)


def _is_pooled(kept: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether the checkpoint has a head that reads the pooler."""
    sequences = classifier_class(values) == "RecursiveForSequenceClassification"
    return sequences and "classifier.weight" in kept


def _places(config: RecursiveConfig) -> dict[str, str]:
    """For each tensor by the name of `layouts.new_names`: its place in a `RecursiveModel`."""
    places = {name: name for name in canonical_shapes(config) if not name.startswith("encoder.")}
    for step in range(config.num_hidden_layers):
        prefix = STEP_PREFIX.format(step=step)
        places |= {f"block.{step}.{name}": prefix + name for name in BLOCK_PARAMETERS}
    return places


def _bert_name(name: str) -> str:
    """The name in a BERT of what `layouts.new_names` calls `name`, for messages."""
    if name.startswith("block."):
        _, layer, inner = name.split(".", 2)
        return f"encoder.layer.{layer}.{layer_name(inner)}"
    return name.replace("pooler.", "pooler.dense.")
