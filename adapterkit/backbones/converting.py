"""Turning a published checkpoint into a recursive backbone, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AlbertConfig

from adapterkit.backbones.canonical import canonical_shapes
from adapterkit.backbones.checkpoint_files import find_weights, read_weights
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.converted import Converted
from adapterkit.backbones.converting_bert import convert_bert
from adapterkit.backbones.folder_layout import CONFIG_FILE
from adapterkit.backbones.foreign_adapters import Adapters, convert_adapters
from adapterkit.backbones.foreign_heads import convert_head
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.layouts import is_bert, is_minialbert, new_names
from adapterkit.backbones.pretrained_files import read_all_pretrained
from adapterkit.backbones.safety import read_config
from adapterkit.backbones.tensors import as_float32, compare_shapes, shapes_of
from adapterkit.backbones.tying import BLOCK_PARAMETERS, STEP_PREFIX
from adapterkit.runs.errors import UserError

_NOT_RECURSIVE = (
    "model_type",
    "architectures",
    "num_hidden_groups",
    "num_groups",
    "inner_group_num",
    "use_adapter",
    "reduction_factor",
    "is_decoder",
    "add_cross_attention",
)


def convert(directory: Path, *, drop_auto_map: bool = False) -> Converted:
    """Read the checkpoint in `directory`; nothing is written.

    Args:
        directory: A folder with ``config.json`` and a weights file.
        drop_auto_map: See `safety.read_config`.

    Raises:
        UserError: The checkpoint is damaged, foreign or unsafe.
    """
    path = directory / CONFIG_FILE
    values = read_config(path, drop_auto_map=drop_auto_map)
    weights = find_weights(directory)
    raw = read_weights(weights)
    if is_bert(raw):
        return convert_bert(values, raw, path, weights)
    mini = is_minialbert(raw)
    names = new_names(raw, weights)
    kept = {new: raw[old] for new, old in names.items() if not (mini and new.startswith("pooler."))}
    notes = _notes(names, mini)
    _check_groups(kept, values, path)
    _check_projection(kept, values, weights)
    adapters = convert_adapters(kept, values, weights)
    config = _make_config(values, kept, adapters, path)
    tensors, config.block_of_step = _canonical(kept, adapters, config, values)
    compare_shapes(weights, shapes_of(tensors), canonical_shapes(config))
    head, head_notes = convert_head(kept, config, values, weights)
    if adapters is not None:
        pretrained = {LAYERWISE: adapters.layerwise}
    else:
        pretrained = read_all_pretrained(directory, config)
    return Converted(
        config, as_float32(weights, tensors), pretrained, head, weights, (*notes, *head_notes)
    )


def _notes(names: Mapping[str, str], mini: bool) -> tuple[str, ...]:
    if mini and "pooler.weight" in names:
        return ("The pooler was left out: MiniALBERT's heads read the raw token states.",)
    return ()


def _check_groups(kept: Mapping[str, Any], values: Mapping[str, Any], path: Path) -> None:
    found = {int(name.split(".")[1]) for name in kept if name.startswith("block.")}
    steps, groups = values["num_hidden_layers"], values.get("num_hidden_groups", 1)
    if groups > steps:
        raise UserError(
            "The configuration contradicts itself.",
            where=f"{path}: num_hidden_groups",
            found=str(groups),
            allowed=f"at most num_hidden_layers, {steps}",
        )
    if found != set(range(groups)):
        raise UserError(
            "The checkpoint's layer groups are not those its configuration names.",
            where=f"{path}: num_hidden_groups",
            found=f"tensors of the groups {sorted(found)}",
            allowed=f"the groups 0 to {groups - 1}",
        )


def _check_projection(
    kept: Mapping[str, torch.Tensor], values: Mapping[str, Any], weights: Path
) -> None:
    table = kept.get("embeddings.word_embeddings.weight")
    width = table.shape[-1] if table is not None and table.ndim == 2 else values["hidden_size"]
    if width != values["hidden_size"] and "encoder.embedding_hidden_mapping_in.weight" not in kept:
        raise UserError(
            "The checkpoint lacks a tensor.",
            where=str(weights),
            found=f"embeddings of width {width} and no projector.weight",
            allowed=f"a projector to hidden_size, {values['hidden_size']}",
        )


def _make_config(
    values: Mapping[str, Any],
    kept: Mapping[str, torch.Tensor],
    adapters: Adapters | None,
    path: Path,
) -> RecursiveConfig:
    described = {k: v for k, v in values.items() if k not in _NOT_RECURSIVE}
    if values["model_type"] == "albert":
        stock = AlbertConfig()
        for key in ("hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob"):
            described.setdefault(key, getattr(stock, key))
    table = kept.get("embeddings.word_embeddings.weight")
    if table is not None and table.ndim == 2:
        described.setdefault("embedding_size", table.shape[1])
    try:
        return RecursiveConfig(
            **described,
            embedding_projection="encoder.embedding_hidden_mapping_in.weight" in kept,
            embedding_adapter_size=adapters.units if adapters else None,
            use_pooler="pooler.weight" in kept,
            mlm_head="miniALBERT"
            if "predictions.decoder.bias" in kept and "predictions.bias" not in kept
            else "albert",
        )
    except ValueError as error:
        raise UserError(
            "The configuration contradicts itself or its weights.",
            where=str(path),
            found=str(error),
        ) from error


def _canonical(
    kept: Mapping[str, torch.Tensor],
    adapters: Adapters | None,
    config: RecursiveConfig,
    values: Mapping[str, Any],
) -> tuple[dict[str, torch.Tensor], list[int]]:
    """Canonical tensors, and for each step the step whose block it uses."""
    steps, groups = config.num_hidden_layers, values.get("num_hidden_groups", 1)
    blocks: list[dict[str, torch.Tensor]] = []
    for group in range(groups):
        prefix = f"block.{group}."
        blocks.append({n.removeprefix(prefix): t for n, t in kept.items() if n.startswith(prefix)})
    tensors = {
        n: t for n, t in kept.items() if n.startswith(("embeddings.", "encoder.", "pooler."))
    }
    tensors |= adapters.embedding_adapter if adapters else {}
    block_of_step: list[int] = []
    for step in range(steps):
        block = blocks[_group(step, steps, groups)]
        earlier = dict.fromkeys(block_of_step)
        twin = next((s for s in earlier if _equal(block, blocks[_group(s, steps, groups)])), step)
        block_of_step.append(twin)
        if twin == step:
            place = STEP_PREFIX.format(step=step)
            tensors |= {place + name: tensor for name, tensor in block.items()}
    return tensors, block_of_step


def _group(step: int, steps: int, groups: int) -> int:
    # As AlbertTransformer assigns layers to groups.
    return int(step / (steps / groups))


def _equal(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether two layer groups hold the same block, so that recursion can share it again."""
    if one is other:
        return True
    complete = one.keys() == other.keys() == set(BLOCK_PARAMETERS)
    return complete and all(torch.equal(one[name], other[name]) for name in one)
