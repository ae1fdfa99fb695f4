"""Names of tensors in published checkpoints, and what each is in a recursive backbone.

MiniALBERT's classes save ``albert.albert.*`` (an ALBERT encoder with one layer group),
``albert.projector``, ``albert.att_adapters``, ``albert.mlp_adapters`` and the tensors of a head;
its base class saves the same without the leading ``albert.``. Plain ALBERT saves ``albert.*``. BERT
saves ``bert.*`` and ``cls.*``, its base class without the leading ``bert.``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from adapterkit.backbones.bert_layers import BERT_MODULES
from adapterkit.backbones.tying import BLOCK_PARAMETERS
from adapterkit.runs.errors import UserError

_PREFIX = re.compile(r"^(?:(?:albert|bert)\.){0,2}")
_WB = r"\.(weight|bias)"
_BLOCK = "|".join(re.escape(name) for name in BLOCK_PARAMETERS)
_Rules = tuple[tuple[re.Pattern[str], str | None], ...]


def _rules(*rules: tuple[str, str | None]) -> _Rules:
    """Each the name behind the prefix, and the name here; None marks what nothing ever reads."""
    return tuple((re.compile(pattern), replacement) for pattern, replacement in rules)


_EMBEDDINGS = _rules(
    (
        r"embeddings\.(word|position|token_type)_embeddings\.weight",
        r"embeddings.\1_embeddings.weight",
    ),
    (r"embeddings\.LayerNorm" + _WB, r"embeddings.LayerNorm.\1"),
    (r"embeddings\.(?:position_ids|token_type_ids)", None),
)
_ALBERT = _EMBEDDINGS + _rules(
    (r"projector" + _WB, r"encoder.embedding_hidden_mapping_in.\1"),
    (r"encoder\.embedding_hidden_mapping_in" + _WB, r"encoder.embedding_hidden_mapping_in.\1"),
    (rf"encoder\.albert_layer_groups\.(\d+)\.albert_layers\.0\.({_BLOCK})", r"block.\1.\2"),
    (r"pooler(?:\.dense)?" + _WB, r"pooler.\1"),
    (r"(att|mlp)_adapters\.(\d+)\.block\.([02])" + _WB, r"\1_adapters.\2.block.\3.\4"),
    (r"(att|mlp)_adapters\.(\d+)\.norm" + _WB, r"\1_adapters.\2.norm.\3"),
    (r"vocab_transform" + _WB, r"predictions.dense.\1"),
    (r"vocab_layer_norm" + _WB, r"predictions.LayerNorm.\1"),
    (r"vocab_projector" + _WB, r"predictions.decoder.\1"),
    (r"(predictions\.(?:dense|LayerNorm|decoder))" + _WB, r"\1.\2"),
    (r"predictions\.bias", "predictions.bias"),
    (r"classifier" + _WB, r"classifier.\1"),
    (r"sop_classifier\.classifier" + _WB, None),
)
_BERT = (
    _EMBEDDINGS
    + _rules(
        *(
            (rf"encoder\.layer\.(\d+)\.{re.escape(bert)}" + _WB, rf"block.\1.{ours}.\2")
            for ours, bert in BERT_MODULES.items()
        )
    )
    + _rules(
        (r"pooler\.dense" + _WB, r"pooler.\1"),
        (r"cls\.predictions\.transform\.(dense|LayerNorm)" + _WB, r"predictions.\1.\2"),
        (r"cls\.predictions\.decoder" + _WB, r"predictions.decoder.\1"),
        (r"cls\.predictions\.bias", "predictions.bias"),
        (r"cls\.seq_relationship" + _WB, None),
        (r"classifier" + _WB, r"classifier.\1"),
    )
)
_BERT_LAYER = re.compile(r"(?:^|\.)encoder\.layer\.\d+\.")
_MINIALBERT_ONLY = re.compile(r"(?:^|\.)(?:projector|att_adapters|mlp_adapters|vocab_projector)\.")


def new_names(names: Iterable[str], path: Path) -> dict[str, str]:
    """For each tensor that matters: its name here, and the name it was stored by.

    Here ``block.G.*`` is layer group G (BERT: layer G), ``att_adapters.I.*`` and
    ``mlp_adapters.I.*`` are MiniALBERT's adapters, ``predictions.*`` and ``classifier.*`` a head;
    other names are those of `RecursiveModel`.

    Args:
        names: Names as stored.
        path: The file, for messages.

    Raises:
        UserError: A name belongs to neither layout, or two names mean the same tensor.
    """
    listed = list(names)
    name_here = _bert_name if is_bert(listed) else _albert_name
    found: dict[str, str] = {}
    for stored in listed:
        new = name_here(stored, path)
        if new is None:
            continue
        if new in found:
            raise UserError(
                "The checkpoint holds a tensor twice.",
                where=str(path),
                found=f"{found[new]} and {stored}",
            )
        found[new] = stored
    if not any(name.startswith("block.") for name in found):
        raise UserError(
            "The checkpoint holds no recursive block.",
            where=str(path),
            allowed="tensors named albert_layer_groups.*, as MiniALBERT and ALBERT save them, or "
            "encoder.layer.*, as BERT does",
        )
    return found


def is_minialbert(names: Iterable[str]) -> bool:
    """Whether stored names are those of MiniALBERT rather than of a plain ALBERT.

    MiniALBERT takes ALBERT's own embedding projection out, and never uses the pooler.
    """
    listed = list(names)
    if any(_MINIALBERT_ONLY.search(name) for name in listed):
        return True
    return not any("embedding_hidden_mapping_in" in name for name in listed)


def is_bert(names: Iterable[str]) -> bool:
    """Whether stored names are those of a BERT, whose every layer is its own."""
    return any(_BERT_LAYER.search(name) for name in names)


def _albert_name(stored: str, path: Path) -> str | None:
    return _new_name(_PREFIX.sub("", stored, count=1), _ALBERT, stored, path)


def _bert_name(stored: str, path: Path) -> str | None:
    return _new_name(stored.removeprefix("bert."), _BERT, stored, path)


def _new_name(bare: str, rules: _Rules, stored: str, path: Path) -> str | None:
    # TensorFlow's names of a LayerNorm's parameters.
    named = bare.replace("LayerNorm.gamma", "LayerNorm.weight")
    named = named.replace("LayerNorm.beta", "LayerNorm.bias")
    for pattern, replacement in rules:
        match = pattern.fullmatch(named)
        if match:
            return None if replacement is None else match.expand(replacement)
    raise UserError(
        "The checkpoint has a tensor that belongs to no known layout.",
        where=str(path),
        found=stored[:200],
        allowed="the tensors of a MiniALBERT, ALBERT or BERT checkpoint",
    )
