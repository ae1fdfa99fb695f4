"""Names of tensors in published checkpoints, and what each is in a recursive backbone.

MiniALBERT's classes save ``albert.albert.*`` (an ALBERT encoder with one layer group),
``albert.projector``, ``albert.att_adapters``, ``albert.mlp_adapters`` and the tensors of a head;
its base class saves the same without the leading ``albert.``. Plain ALBERT saves ``albert.*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from adapterkit.backbones.tying import BLOCK_PARAMETERS
from adapterkit.runs.errors import UserError

_PREFIX = re.compile(r"(?:(?:albert|bert)\.){0,2}")
_WB = r"\.(weight|bias)"
_BLOCK = "|".join(re.escape(name) for name in BLOCK_PARAMETERS)
# Each rule: the name behind the prefix, and the name here. None marks tensors nothing ever reads.
_RULES: tuple[tuple[re.Pattern[str], str | None], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (
            r"embeddings\.(word|position|token_type)_embeddings\.weight",
            r"embeddings.\1_embeddings.weight",
        ),
        (r"embeddings\.LayerNorm" + _WB, r"embeddings.LayerNorm.\1"),
        (r"embeddings\.LayerNorm\.gamma", "embeddings.LayerNorm.weight"),
        (r"embeddings\.LayerNorm\.beta", "embeddings.LayerNorm.bias"),
        (r"embeddings\.(?:position_ids|token_type_ids)", None),
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
)
_MINIALBERT_ONLY = re.compile(r"(?:^|\.)(?:projector|att_adapters|mlp_adapters|vocab_projector)\.")


def new_names(names: Iterable[str], path: Path) -> dict[str, str]:
    """For each tensor that matters: its name here, and the name it was stored by.

    Here ``block.G.*`` is layer group G, ``att_adapters.I.*`` and ``mlp_adapters.I.*`` are
    MiniALBERT's adapters, ``predictions.*`` and ``classifier.*`` a head; other names are those of
    `RecursiveModel`.

    Args:
        names: Names as stored.
        path: The file, for messages.

    Raises:
        UserError: A name belongs to neither layout, or two names mean the same tensor.
    """
    found: dict[str, str] = {}
    for stored in names:
        new = _new_name(stored, path)
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
            allowed="tensors named albert_layer_groups.*, as MiniALBERT and ALBERT save them",
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


def _new_name(stored: str, path: Path) -> str | None:
    prefix = _PREFIX.match(stored)
    bare = stored[prefix.end() :] if prefix else stored
    for pattern, replacement in _RULES:
        match = pattern.fullmatch(bare)
        if match:
            return None if replacement is None else match.expand(replacement)
    raise UserError(
        "The checkpoint has a tensor that belongs to no known layout.",
        where=str(path),
        found=stored[:200],
        allowed="the tensors of a MiniALBERT or ALBERT checkpoint",
    )
