"""The head a published checkpoint carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adapterkit.backbones.canonical import state_shapes
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.model import STATIC_HEADS
from adapterkit.backbones.tensors import as_float32, compare_shapes, shapes_of
from adapterkit.runs.errors import UserError

_CLASSIFIERS = {
    "ForTokenClassification": "RecursiveForTokenClassification",
    "ForSequenceClassification": "RecursiveForSequenceClassification",
}
# ALBERT's own masked-LM decoder is the embedding table; its bias stands beside it.
_TIED_DECODER = ("predictions.decoder.weight", "predictions.decoder.bias")


@dataclass(frozen=True)
class Head:
    """A static head.

    Attributes:
        class_name: The recursive model class it belongs to.
        tensors: Its tensors, float32, named as in that class.
        labels: Class names in the order of their ids; empty for a masked-LM head.
    """

    class_name: str
    tensors: dict[str, torch.Tensor]
    labels: tuple[str, ...] = ()


def convert_head(
    kept: Mapping[str, torch.Tensor], config: RecursiveConfig, values: Mapping[str, Any], path: Path
) -> tuple[Head | None, tuple[str, ...]]:
    """The head among the tensors of a checkpoint, and notes on what was done.

    Args:
        kept: Tensors by the names of `layouts.new_names`.
        config: The backbone's configuration.
        values: The checked configuration of the checkpoint.
        path: The weights file, for messages.

    Raises:
        UserError: The head's tensors are incomplete or misshapen.
    """
    found = {n: t for n, t in kept.items() if n.startswith(("predictions.", "classifier."))}
    if not found:
        return None, ()
    if any(name.startswith("predictions.") for name in found):
        class_name = "RecursiveForMaskedLM"
        if config.mlm_head == "albert":
            found = {name: t for name, t in found.items() if name not in _TIED_DECODER}
        labels: tuple[str, ...] = ()
    else:
        classifier = classifier_class(values)
        if classifier is None:
            return None, (
                "The classification head was left out: `architectures` in config.json does not say "
                "whether it classifies tokens or sequences.",
            )
        class_name, labels = classifier, _labels(found, values, path)
    compare_shapes(path, shapes_of(found), head_shapes(config, class_name, len(labels)))
    return Head(class_name, as_float32(path, found), labels), ()


def head_shapes(
    config: RecursiveConfig, class_name: str, num_labels: int
) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor of a head that its backbone does not hold already."""
    settings = config.to_dict() | ({"num_labels": num_labels} if num_labels else {})
    shapes = state_shapes(static_class(class_name), RecursiveConfig(**settings))
    tied = _TIED_DECODER if config.mlm_head == "albert" else ()
    return {
        name: shape
        for name, shape in shapes.items()
        if not name.startswith("albert.") and name not in tied
    }


def static_class(name: str) -> Any:
    """The recursive model class with a static head of this name.

    Raises:
        KeyError: There is none.
    """
    return {cls.__name__: cls for cls in STATIC_HEADS.values()}[name]


def classifier_class(values: Mapping[str, Any]) -> str | None:
    """The recursive class of the classification head that ``architectures`` names, if any."""
    for architecture in values.get("architectures") or ():
        for ending, class_name in _CLASSIFIERS.items():
            if str(architecture).endswith(ending):
                return class_name
    return None


def _labels(
    found: Mapping[str, torch.Tensor], values: Mapping[str, Any], path: Path
) -> tuple[str, ...]:
    weight = found.get("classifier.weight")
    count = int(weight.shape[0]) if weight is not None and weight.ndim == 2 else 0
    if not 0 < count <= 10_000:
        raise UserError(
            "The classification head is incomplete.",
            where=f"{path}: classifier.weight",
            found="nothing" if weight is None else str(list(weight.shape)),
        )
    stated = values.get("id2label")
    if stated is None:
        return tuple(f"LABEL_{i}" for i in range(count))
    if {str(key) for key in stated} != {str(i) for i in range(count)}:
        raise UserError(
            "The labels do not fit the classification head.",
            where=f"{path}: classifier.weight",
            found=f"{count} rows, labels for {sorted(map(str, stated))[:20]}",
        )
    by_id = {str(key): str(label) for key, label in stated.items()}
    return tuple(by_id[str(i)] for i in range(count))
