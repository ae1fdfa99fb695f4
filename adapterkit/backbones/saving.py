"""Writing a backbone's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.canonical import canonical_tensors, pretrained_tensors
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.digest import OPTIONAL_KEYS
from adapterkit.backbones.fingerprint import fingerprint_of
from adapterkit.backbones.folder_layout import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from adapterkit.backbones.pretrained import pretrained_names
from adapterkit.backbones.pretrained_files import write_pretrained
from adapterkit.backbones.pruned import masks_of, packed
from adapterkit.backbones.safety import ALLOWED_KEYS
from adapterkit.backbones.tensors import as_float32, write_safetensors
from adapterkit.runs.atomic import atomic_directory, disk_errors, write_json

SCHEMA = "adapterkit.backbone.v1"


def save_backbone(
    model: RecursiveAdapterModel,
    tokenizer: Any,
    path: str | Path,
    *,
    card: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a backbone: configuration, canonical tensors, adapters, tokenizer, card.

    Parameters that steps share are stored once. The adapters that are part of the backbone have a
    folder each, unless
    they are merged into the weights. Task adapters and heads are not part of a backbone
    and are left out.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        path: A folder that does not exist yet, or is empty. It appears whole or not at all.
        card: What is known of the backbone (name, licence, origin, training). ``schema`` and
            ``fingerprint`` are added.
        dtype: Precision to store, such as ``torch.float16``; ``None`` keeps the model's. Loading
            always gives float32.

    Raises:
        UserError: A value is not finite or overflows `dtype`, or the path cannot be written.
    """
    with atomic_directory(path) as directory:
        write_files(model, tokenizer, directory, card=card, dtype=dtype)


def write_files(
    model: RecursiveAdapterModel,
    tokenizer: Any,
    directory: Path,
    *,
    card: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a backbone's files into an existing folder; arguments as for `save_backbone`.

    Raises:
        UserError: A value is not finite or overflows `dtype`, or the disk refuses.
    """
    tensors = _stored(canonical_tensors(model), dtype)
    adapter = _stored(pretrained_tensors(model), dtype)
    loaded = as_float32(directory / WEIGHTS_FILE, {**tensors, **adapter})
    full_card = {**card, "schema": SCHEMA, "fingerprint": fingerprint_of(model.config, loaded)}
    write_json(directory / CONFIG_FILE, config_dict(model.config))
    write_safetensors(directory / WEIGHTS_FILE, packed(tensors, masks_of(model)))
    for name in pretrained_names(model):
        if pretrained_tensors(model, name):
            write_pretrained(model, name, directory / name, dtype)
    with disk_errors(directory):
        tokenizer.save_pretrained(str(directory))
    write_json(directory / CARD_FILE, full_card)


def config_dict(config: RecursiveConfig) -> dict[str, Any]:
    """What ``config.json`` holds: the model's description, without adapters, heads or paths."""
    keys = (key for key in ALLOWED_KEYS[config.model_type] if hasattr(config, key))
    labels = ("architectures", "id2label", "label2id", "problem_type")
    unsaid = {*labels, *(key for key in OPTIONAL_KEYS if not getattr(config, key))}
    return {
        "model_type": config.model_type,
        "architectures": ["RecursiveModel"],
        **{key: getattr(config, key) for key in keys if key not in unsaid},
    }


def _stored(
    tensors: Mapping[str, torch.Tensor], dtype: torch.dtype | None
) -> dict[str, torch.Tensor]:
    return {name: t if dtype is None else t.to(dtype) for name, t in tensors.items()}
