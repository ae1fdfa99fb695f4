"""Loading an imported checkpoint together with the head it was published with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import adapters
import torch

from adapterkit.backbones.building import empty_model, make_config
from adapterkit.backbones.canonical import assign, canonical_shapes
from adapterkit.backbones.folder_layout import CONFIG_FILE, WEIGHTS_FILE
from adapterkit.backbones.foreign_heads import head_shapes, static_class
from adapterkit.backbones.model import STATIC_HEADS
from adapterkit.backbones.pretrained import add_pretrained
from adapterkit.backbones.pretrained_files import read_all_pretrained
from adapterkit.backbones.safety import read_config
from adapterkit.backbones.tensors import as_float32, check_shapes, read_safetensors
from adapterkit.runs.errors import UserError

HEAD_FILE = "head.safetensors"
"""The head of an imported checkpoint, beside its backbone."""


def load_static(path: str | Path, *, attn_implementation: str = "sdpa") -> Any:
    """The model with its static head, such as a `RecursiveForMaskedLM`.

    Args:
        path: A folder that `importing.import_checkpoint` wrote from a checkpoint with a head.
        attn_implementation: ``"sdpa"`` or ``"eager"``.

    Returns:
        The model in evaluation mode and float32, set up for AdapterHub, its own adapters
        active if it has any.

    Raises:
        UserError: The folder is damaged, or its backbone has no head.
    """
    directory = Path(path)
    values = read_config(directory / CONFIG_FILE)
    config = make_config(values, directory / CONFIG_FILE)
    head = directory / HEAD_FILE
    class_name = _class_name(values, head)
    check_shapes(head, head_shapes(config, class_name, config.num_labels))
    weights = directory / WEIGHTS_FILE
    check_shapes(weights, canonical_shapes(config))
    with torch.random.fork_rng(devices=[]):
        model = empty_model(static_class(class_name), config, attn_implementation)
        base = as_float32(weights, read_safetensors(weights))
        # Token-level classes have no pooler, even where the backbone has one.
        held = model.albert.state_dict()
        assign(model.albert, {name: tensor for name, tensor in base.items() if name in held})
        assign(model, as_float32(head, read_safetensors(head)))
        # A model made without initial weights has not tied its decoder to its embedding table.
        model.tie_weights()
        adapters.init(model)
        if found := read_all_pretrained(directory, config):
            add_pretrained(model, found)
    return model.eval()


def _class_name(values: dict[str, Any], head: Path) -> str:
    known = [cls.__name__ for cls in STATIC_HEADS.values()]
    named = next((name for name in values.get("architectures") or () if name in known), None)
    if named is None or not head.is_file():
        raise UserError(
            "The backbone has no head of its own.",
            where=str(head),
            hint="load it with load_backbone, and add a head",
        )
    return str(named)
