"""What a backbone's files state, read without loading anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterkit.backbones.bundled_folder import BUNDLED, bundled_folder
from adapterkit.backbones.folder_layout import (
    ADAPTER_CONFIG_FILE,
    ADAPTER_PREFIX,
    ADAPTER_WEIGHTS_FILE,
    CONFIG_FILE,
    TOKENIZER_FILES,
    WEIGHTS_FILE,
)
from adapterkit.backbones.headers import StoredTensor, read_header
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.pretrained_shapes import layerwise_shapes, relaxed_shapes
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.backbones.safety import read_config, read_json
from adapterkit.backbones.shape import BackboneShape, Shapes, stored_shapes
from adapterkit.backbones.tying import block_parameters
from adapterkit.runs.errors import UserError

_OWN_TYPE = "recursive_albert"


@dataclass(frozen=True)
class StatedBackbone:
    """A backbone as its files describe it.

    Args:
        id: What `load_backbone` takes to load it.
        path: Its folder.
        config: The keys of its configuration that describe the model.
        shape: Its sizes.
        tensors: For each of its weights files, where each tensor is stored.
    """

    id: str
    path: Path
    config: Mapping[str, Any]
    shape: BackboneShape
    tensors: Mapping[Path, Mapping[str, StoredTensor]]


def stated_steps(source: str | Path) -> int | None:
    """The number of recursion steps a backbone says it has.

    For checking what the user typed before the libraries, which take seconds, are loaded.

    Args:
        source: ``"bundled"``, a folder, or a hub id.

    Returns:
        ``None`` where it cannot be told at once; loading the backbone tells it, or says why not.
    """
    try:
        config = json.loads((_folder(source) / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    steps = config.get("num_hidden_layers") if isinstance(config, dict) else None
    return steps if isinstance(steps, int) and steps > 0 else None


def stated_backbone(source: str | Path) -> StatedBackbone | None:
    """What the files of a backbone state, held to the tensors they hold.

    Args:
        source: ``"bundled"``, a folder, or a hub id.

    Returns:
        ``None`` where it cannot be told without loading the backbone: it is not in a folder here,
        its layout is another library's, factors of it are pruned, or something is wrong with it.
        Loading it says what.
    """
    folder = _folder(source)
    try:
        if not folder.is_dir() or read_json(folder / CONFIG_FILE).get("model_type") != _OWN_TYPE:
            return None
        config = read_config(folder / CONFIG_FILE)
        if config.get("pruned"):
            return None
        layerwise, relaxed = _size(folder, LAYERWISE), _size(folder, RELAXED)
    except UserError:
        return None
    shape = BackboneShape.of(config, layerwise, None if relaxed is None else int(relaxed))
    tensors = _tensors(folder, shape) if _is_consistent(shape) else None
    if tensors is None or not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return None
    name = BUNDLED if source == BUNDLED else str(folder.resolve())
    return StatedBackbone(name, folder.resolve(), config, shape, tensors)


def _folder(source: str | Path) -> Path:
    return bundled_folder() if source == BUNDLED else Path(source).expanduser()


def _size(folder: Path, adapter: str) -> float | None:
    """The size of an adapter that is part of the backbone; None where there is none."""
    if not (folder / adapter).is_dir():
        return None
    described = read_json(folder / adapter / ADAPTER_CONFIG_FILE).get("config")
    parts = described.get("configs") if isinstance(described, dict) else None
    first = parts[0] if isinstance(parts, list) and parts else described
    size = first.get("r" if adapter == RELAXED else "reduction_factor") if first else None
    if isinstance(size, bool) or not isinstance(size, int | float) or size <= 0:
        raise UserError("The size of the adapter is not stated.", where=str(folder / adapter))
    return size


def _is_consistent(shape: BackboneShape) -> bool:
    """Whether `RecursiveConfig` would take the values too."""
    blocks, steps = shape.block_of_step, shape.num_hidden_layers
    owners = all(0 <= block < steps and blocks[block] == block for block in blocks)
    own = (entry.partition(".") for entry in shape.own_parameters)
    names = block_parameters(shape)
    return (
        len(blocks) == steps
        and owners
        and all(s.isdecimal() and int(s) < steps and n in names for s, _, n in own)
        and (shape.embedding_projection or shape.embedding_size == shape.hidden_size)
    )


def _tensors(folder: Path, shape: BackboneShape) -> dict[Path, Mapping[str, StoredTensor]] | None:
    """The headers of the weights files, if they hold the tensors that the sizes imply."""
    expected: dict[Path, tuple[str, Shapes]] = {folder / WEIGHTS_FILE: ("", stored_shapes(shape))}
    if shape.layerwise is not None:
        shapes = layerwise_shapes(shape, shape.layerwise)
        expected[folder / LAYERWISE / ADAPTER_WEIGHTS_FILE] = (ADAPTER_PREFIX, shapes)
    if shape.relaxed is not None:
        shapes = relaxed_shapes(shape, shape.relaxed)
        expected[folder / RELAXED / ADAPTER_WEIGHTS_FILE] = (ADAPTER_PREFIX, shapes)
    found: dict[Path, Mapping[str, StoredTensor]] = {}
    for path, (prefix, shapes) in expected.items():
        header = read_header(path) or {}
        if {name: tensor.shape for name, tensor in header.items()} != {
            prefix + name: shape for name, shape in shapes.items()
        }:
            return None
        found[path] = {name.removeprefix(prefix): tensor for name, tensor in header.items()}
    return found
