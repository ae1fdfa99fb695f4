"""Predictions as brat standoff: the ``.ann`` file beside a ``.txt`` file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapterkit.runs.errors import UserError
from adapterkit.serving.layers import Layer, layer_texts
from adapterkit.serving.predictions import Entity

# What ends a line for brat or for a reader of its files, and the tab that separates its columns.
_BREAK = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
_NOT_IN_A_TYPE = re.compile(r"[^A-Za-z0-9_-]+")


def render_brat(layers: Sequence[Layer]) -> str:
    r"""Return the lines of text-bound annotation, ``T1\tChemical 0 7\tAspirin``.

    Offsets count Unicode code points of the text. A span that runs over a line break becomes
    fragments, ``T2\tDisease 10 14;15 21\tlung cancer``, as brat writes it. Several texts count as
    one document in which a line break follows each that does not end in one. With several adapters
    the type begins with the name of the adapter, so that spans of the same type stay apart.

    Raises:
        UserError: If an adapter labels whole texts, which standoff cannot say.
    """
    layer_texts(layers)
    for layer in layers:
        if layer.kind != "ner":
            raise UserError(
                "brat standoff holds spans, and this adapter labels whole texts",
                where="--format brat",
                found=f"{layer.name}, a {layer.kind} task",
                allowed=("text", "json", "html"),
                hint="choose another --format, or leave this --adapter out",
            )
    found = [
        (offset + entity.start, -entity.end, order, _type(layer, entity, len(layers)), entity)
        for order, layer in enumerate(layers)
        for offset, entities in _document(layer)
        for entity in entities
    ]
    found.sort(key=lambda each: each[:3])
    lines = [
        _line(number, label, start, entity)
        for number, (start, _, _, label, entity) in enumerate(found, 1)
    ]
    return "".join(lines)


def _document(layer: Layer) -> list[tuple[int, tuple[Entity, ...]]]:
    """The entities of each text, and where that text begins in the document."""
    offset, texts = 0, []
    for prediction in layer.predictions:
        texts.append((offset, prediction.entities))
        offset += len(prediction.text) + (not prediction.text.endswith(("\n", "\r")))
    return texts


def _type(layer: Layer, entity: Entity, layers: int) -> str:
    name = f"{layer.name}_{entity.label}" if layers > 1 else entity.label
    return _NOT_IN_A_TYPE.sub("_", name)


def _line(number: int, label: str, start: int, entity: Entity) -> str:
    fragments = _fragments(entity.text)
    places = ";".join(f"{start + first} {start + last}" for first, last in fragments)
    text = " ".join(entity.text[first:last] for first, last in fragments)
    return f"T{number}\t{label} {places}\t{text}\n"


def _fragments(text: str) -> list[tuple[int, int]]:
    """The parts of a span between line breaks, without white space at their ends."""
    bounds, position = [], 0
    for found in _BREAK.finditer(text):
        bounds.append((position, found.start()))
        position = found.end()
    bounds.append((position, len(text)))
    trimmed = []
    for first, last in bounds:
        part = text[first:last]
        if part.strip():
            lead = len(part) - len(part.lstrip())
            trimmed.append((first + lead, first + len(part.rstrip())))
    return trimmed
