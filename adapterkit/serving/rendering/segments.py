"""Cutting a text where spans begin and end, so that spans may overlap at will."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from adapterkit.serving.predictions import Entity

_Mark = TypeVar("_Mark")


@dataclass(frozen=True, slots=True)
class Segment(Generic[_Mark]):
    """A piece of text covered by the same spans throughout.

    Attributes:
        text: The piece.
        covering: The marks of the spans that cover it, the earliest and longest first.
        ending: Those of them that end with it.
    """

    text: str
    covering: tuple[_Mark, ...]
    ending: tuple[_Mark, ...]


def cut(text: str, spans: Sequence[tuple[Entity, _Mark]]) -> list[Segment[_Mark]]:
    """Cut a text at the bounds of all spans; the pieces joined are the text.

    Args:
        text: The text.
        spans: Spans in any order, overlapping or not, each with a mark to find in the segments.
    """
    ordered = sorted(spans, key=lambda each: (each[0].start, -each[0].end))
    bounds = sorted({0, len(text), *(b for e, _ in ordered for b in (e.start, e.end))})
    segments: list[Segment[_Mark]] = []
    waiting = 0
    active: list[tuple[Entity, _Mark]] = []
    for start, end in itertools.pairwise(bounds):
        active = [each for each in active if each[0].end > start]
        while waiting < len(ordered) and ordered[waiting][0].start <= start:
            active.append(ordered[waiting])
            waiting += 1
        segments.append(
            Segment(
                text[start:end],
                tuple(mark for _, mark in active),
                tuple(mark for entity, mark in active if entity.end == end),
            )
        )
    return segments
