"""Layers written by hand."""

from __future__ import annotations

from adapterkit.serving.layers import Layer
from adapterkit.serving.predictions import Entity, Prediction, ScoredLabel

TEXT = "Lithium-induced lung\r\ncancer <b>&amp;</b> in \U0001f469\u200d\u2695\ufe0f"


def entity(text: str, found: str, label: str, score: float = 0.5) -> Entity:
    start = text.index(found)
    return Entity(start, start + len(found), label, found, score)


def ner_layer(
    *predictions: Prediction, name: str = "cdr", labels: tuple[str, ...] = ("Chemical", "Disease")
) -> Layer:
    return Layer(name, f"runs/{name}", name, "ner", labels, predictions)


def chemicals_and_diseases() -> Layer:
    """Two entities, the second over a line break."""
    found = (entity(TEXT, "Lithium", "Chemical", 0.9), entity(TEXT, "lung\r\ncancer", "Disease"))
    return ner_layer(Prediction(TEXT, entities=found))


def crossing() -> Layer:
    """An entity that overlaps both of `chemicals_and_diseases`, and contains neither."""
    found = (entity(TEXT, "thium-induced lung", "Disease", 0.25),)
    return ner_layer(Prediction(TEXT, entities=found), name="ncbi", labels=("Disease",))


def topics(*, is_truncated: bool = False) -> Layer:
    scores = (ScoredLabel("good <news>", 0.75), ScoredLabel("bad", 0.125))
    prediction = Prediction(TEXT, labels=scores[:1], scores=scores, is_truncated=is_truncated)
    return Layer("hoc", "runs/hoc", "hoc", "multilabel", ("good <news>", "bad"), (prediction,))
