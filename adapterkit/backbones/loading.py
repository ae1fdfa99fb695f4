"""Loading a backbone, strictly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.bert_tokenizer import check_bert_tokenizer
from adapterkit.backbones.building import build_model, make_config
from adapterkit.backbones.bundled_folder import BUNDLED
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.converted import Converted
from adapterkit.backbones.converting import convert
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.folder_layout import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.pretrained import pretrained_names
from adapterkit.backbones.pretrained_files import read_all_pretrained
from adapterkit.backbones.pruned import packed_shapes, prune_factors, unpacked
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.backbones.safety import read_config, read_json
from adapterkit.backbones.saving import save_backbone
from adapterkit.backbones.sources import locate
from adapterkit.backbones.tensors import as_float32, check_shapes, read_safetensors
from adapterkit.backbones.tokenizer import load_tokenizer
from adapterkit.runs.errors import UserError

__all__ = ["BUNDLED", "Backbone", "load_backbone", "load_model", "save_backbone"]


@dataclass(frozen=True)
class Backbone:
    """A recursive model ready to be adapted.

    Attributes:
        id: What `load_backbone` takes to load it again.
        model: In evaluation mode and float32; the adapters it has of its own, if any, are active.
        tokenizer: The fast tokenizer that belongs to it.
        fingerprint: ``"sha256:..."`` of what it computes; see `fingerprint`.
        path: The folder it was loaded from.
    """

    id: str
    model: RecursiveAdapterModel
    tokenizer: Any
    fingerprint: str
    path: Path | None

    @property
    def steps(self) -> int:
        """Number of recursion steps."""
        return int(self.model.config.num_hidden_layers)

    @property
    def has_layerwise(self) -> bool:
        """Whether the backbone has pretrained layer-wise adapters."""
        return LAYERWISE in pretrained_names(self.model)

    @property
    def has_relaxed(self) -> bool:
        """Whether its steps have low-rank updates of their own (relaxed recursion)."""
        return RELAXED in pretrained_names(self.model)

    @property
    def hidden_size(self) -> int:
        """Width of the states."""
        return int(self.model.config.hidden_size)


def load_backbone(source: str | Path = BUNDLED, *, attn_implementation: str = "sdpa") -> Backbone:
    """Load a backbone.

    Args:
        source: ``"bundled"``; ``"minilm-l6"``; a folder: one that `save_backbone` or
            `import_checkpoint` wrote, a published MiniALBERT checkpoint, a plain ALBERT, or a BERT;
            or the hub id of such a folder.
        attn_implementation: ``"sdpa"`` or ``"eager"`` (needed for attention maps).

    Raises:
        UserError: There is no such backbone, or it is damaged, foreign or unsafe.
    """
    located = locate(source)
    foreign = _foreign(located.path)
    model = _build(located.path, foreign, attn_implementation)
    tokenizer = load_tokenizer(located.path, model.config.vocab_size)
    if foreign is not None and foreign.bert:
        check_bert_tokenizer(tokenizer, model.config, located.path, "backbone")
    return Backbone(
        id=located.id,
        model=model,
        tokenizer=tokenizer,
        fingerprint=_verified_fingerprint(model, located.path),
        path=located.path,
    )


def load_model(directory: Path, attn_implementation: str = "sdpa") -> RecursiveAdapterModel:
    """The model in a folder, in evaluation mode and float32, with its own adapters active.

    Raises:
        UserError: The folder is damaged, foreign or unsafe.
    """
    return _build(directory, _foreign(directory), attn_implementation)


def _foreign(directory: Path) -> Converted | None:
    """The checkpoint in a folder that is no backbone folder."""
    kind = read_json(directory / CONFIG_FILE).get("model_type")
    return None if kind == RecursiveConfig.model_type else convert(directory)


def _build(
    directory: Path, foreign: Converted | None, attn_implementation: str
) -> RecursiveAdapterModel:
    if foreign is not None:
        return build_model(foreign.config, foreign.tensors, foreign.pretrained, attn_implementation)
    path = directory / CONFIG_FILE
    config = make_config(read_config(path), path)
    weights = directory / WEIGHTS_FILE
    check_shapes(weights, packed_shapes(config, path))
    pretrained = read_all_pretrained(directory, config)
    stored, masks = unpacked(read_safetensors(weights), config, weights)
    model = build_model(config, as_float32(weights, stored), pretrained, attn_implementation)
    prune_factors(model, masks)
    return model


def _verified_fingerprint(model: RecursiveAdapterModel, directory: Path) -> str:
    found = fingerprint(model)
    card = directory / CARD_FILE
    stated = read_json(card).get("fingerprint") if card.is_file() else None
    if stated not in (None, found):
        raise UserError(
            "The backbone is not the one its card describes.",
            where=f"{card}: fingerprint",
            found=found,
            allowed=str(stated),
            hint="the files were changed or damaged; fetch or make the backbone again",
        )
    return found
