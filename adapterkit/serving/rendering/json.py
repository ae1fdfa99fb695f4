"""Predictions as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from adapterkit.serving.layers import Layer, layer_texts
from adapterkit.serving.predictions import Entity

SCHEMA = "adapterkit.predictions.v1"


def render_json(layers: Sequence[Layer]) -> str:
    """Return one line of JSON: the adapters, and each text with what they say of it.

    Offsets count Unicode code points of the text, from 0, end exclusive. Entities stand in reading
    order, those of different adapters together; each names the adapter that found it.
    """
    texts = layer_texts(layers)
    document = {
        "schema": SCHEMA,
        "adapters": [_adapter(layer) for layer in layers],
        "texts": [_text(layers, number, text) for number, text in enumerate(texts)],
    }
    return json.dumps(document, allow_nan=False) + "\n"


def _adapter(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "path": layer.adapter,
        "task": layer.task,
        "kind": layer.kind,
        "labels": list(layer.labels),
    }


def _entity(entity: Entity, adapter: str) -> dict[str, Any]:
    return {
        "start": entity.start,
        "end": entity.end,
        "label": entity.label,
        "text": entity.text,
        "score": round(entity.score, 6),
        "adapter": adapter,
    }


def _text(layers: Sequence[Layer], number: int, text: str) -> dict[str, Any]:
    found = [
        (entity, layer.name) for layer in layers for entity in layer.predictions[number].entities
    ]
    found.sort(key=lambda each: (each[0].start, -each[0].end))
    classified = [layer for layer in layers if layer.kind != "ner"]
    labels = [
        {"label": scored.label, "score": round(scored.score, 6), "adapter": layer.name}
        for layer in classified
        for scored in layer.predictions[number].labels
    ]
    scores = {
        layer.name: {
            scored.label: round(scored.score, 6) for scored in layer.predictions[number].scores
        }
        for layer in classified
    }
    truncated = [layer.name for layer in classified if layer.predictions[number].is_truncated]
    return {
        "text": text,
        "entities": [_entity(entity, name) for entity, name in found],
        "labels": labels,
        "scores": scores,
        "truncated": truncated,
    }
