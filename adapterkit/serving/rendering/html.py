"""Predictions as one self-contained HTML page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from adapterkit.serving.layers import Layer, layer_texts
from adapterkit.serving.predictions import ScoredLabel
from adapterkit.serving.rendering.segments import Segment, cut

# Okabe and Ito's palette, which colour-blind readers can tell apart (Wong 2011, Nature Methods
# 8:441), without its black; after seven types the line's style changes.
_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
_STYLES = ("solid", "dashed", "dotted", "double")

# Characters that HTML forbids, and surrogates, which no encoding can write.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Type:
    """An entity type of one adapter, and how it looks.

    Attributes:
        name: The type; with several NER adapters the adapter's name too.
        label: The type alone.
        layer: Name of the adapter.
        colour: ``#rrggbb``.
        style: CSS style of the line below the text.
        count: Entities of this type in all texts.
    """

    name: str
    label: str
    layer: str
    colour: str
    style: str
    count: int

    @property
    def tint(self) -> str:
        """The colour made translucent, for the background."""
        red, green, blue = (int(self.colour[place : place + 2], 16) for place in (1, 3, 5))
        return f"rgba({red}, {green}, {blue}, 0.22)"


@dataclass(frozen=True, slots=True)
class Mark:
    """An entity on the page: its type, a key for its style, and its score."""

    type: Type
    key: int
    score: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """The labels one adapter gives one text."""

    layer: str
    labels: tuple[ScoredLabel, ...]
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class Page:
    """One text on the page."""

    segments: list[Segment[Mark]]
    judgements: list[Judgement]


def render_html(layers: Sequence[Layer], *, title: str = "Predictions") -> str:
    """Return a page with the entities marked in the texts, a legend, and the texts' labels.

    Spans may overlap: each keeps a line of its own below the text. The page needs nothing from
    outside, follows the reader's light or dark setting, and can be printed.

    Args:
        layers: What the adapters say.
        title: Title of the page.
    """
    texts = layer_texts(layers)
    types = _types(layers)
    environment = Environment(
        loader=PackageLoader("adapterkit.serving.rendering", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template("page.html.j2").render(
        title=title,
        types=types,
        layers=layers,
        pages=[_page(layers, types, number, text) for number, text in enumerate(texts)],
    )
    return _FORBIDDEN.sub("\ufffd", page)


def _types(layers: Sequence[Layer]) -> list[Type]:
    taggers = [layer for layer in layers if layer.kind == "ner"]
    counts = Counter(
        (layer.name, entity.label)
        for layer in taggers
        for prediction in layer.predictions
        for entity in prediction.entities
    )
    pairs = [(layer.name, label) for layer in taggers for label in layer.labels]
    return [
        Type(
            name=f"{label} · {name}" if len(taggers) > 1 else label,
            label=label,
            layer=name,
            colour=_COLOURS[index % len(_COLOURS)],
            style=_STYLES[index // len(_COLOURS) % len(_STYLES)],
            count=counts[name, label],
        )
        for index, (name, label) in enumerate(pairs)
    ]


def _page(layers: Sequence[Layer], types: Sequence[Type], number: int, text: str) -> Page:
    keys = {(each.layer, each.label): key for key, each in enumerate(types)}
    spans = []
    for layer in layers:
        for entity in layer.predictions[number].entities:
            key = keys[layer.name, entity.label]
            spans.append((entity, Mark(types[key], key, entity.score)))
    judgements = [
        Judgement(
            layer.name, layer.predictions[number].labels, layer.predictions[number].is_truncated
        )
        for layer in layers
        if layer.kind != "ner"
    ]
    return Page(cut(text, spans), judgements)
