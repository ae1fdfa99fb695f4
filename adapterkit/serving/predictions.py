"""What an adapter says of a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entity:
    """A named entity found in a text.

    Attributes:
        start: Its first character, counted in Unicode code points of the text as it was given.
        end: The character after its last one.
        label: Its type.
        text: ``given_text[start:end]``.
        score: Probability, from 0 to 1, that exactly these words carry exactly this type, as the
            model sees it; see `span_probabilities`.
    """

    start: int
    end: int
    label: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """A class and its probability, from 0 to 1: softmax, or sigmoid in a multi-label task."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one adapter says of one text.

    Attributes:
        text: The text as it was given.
        entities: NER: the entities, in reading order; they do not overlap.
        labels: Classification: the classes chosen (in a multi-label task possibly none), the most
            probable first. A blank text gets none.
        scores: Classification: every class with its probability, in the task's order.
        is_truncated: Classification: the text is longer than the model reads, and its end was
            left out. (NER reads long texts in overlapping windows.)
    """

    text: str
    entities: tuple[Entity, ...] = ()
    labels: tuple[ScoredLabel, ...] = ()
    scores: tuple[ScoredLabel, ...] = ()
    is_truncated: bool = False
