"""A sentence with its gold and predicted mentions marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from adapterkit.comparing.analysis.spans import Match, Mention, matches_of, mentions
from adapterkit.comparing.records.record import Prediction


@dataclass(frozen=True)
class Stretch:
    """Words that are in the same mentions.

    Attributes:
        text: The words.
        gold: The type of the gold mention that they are in, if they are in one.
        predicted: The type of the predicted mention that they are in, if they are in one.
        ends: What ends with them: pairs of ``correct``, ``gold`` or ``predicted`` and a type.
    """

    text: str
    gold: str | None
    predicted: str | None
    ends: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Mistake:
    """An error in words.

    Attributes:
        kind: What kind it is.
        gold: The words of the gold mention, and its type; None where there is none.
        predicted: Those of the predicted one.
    """

    kind: str
    gold: tuple[str, str] | None
    predicted: tuple[str, str] | None


@dataclass(frozen=True)
class Marked:
    """A sentence.

    Attributes:
        id: Of the sentence.
        stretches: Its words.
        mistakes: What is wrong in it.
    """

    id: str
    stretches: tuple[Stretch, ...]
    mistakes: tuple[Mistake, ...]


def mark(sentence: Prediction) -> Marked:
    """Cut a sentence where mentions begin and end, and say what is wrong with them."""
    gold, predicted = mentions(sentence.gold), mentions(sentence.predicted)
    words = sentence.words
    cuts = {0, len(words), *(place for each in (*gold, *predicted) for place in each[:2])}
    edges = sorted(cut for cut in cuts if cut <= len(words))
    stretches = tuple(
        Stretch(
            " ".join(words[start:end]),
            _type_at(gold, start),
            _type_at(predicted, start),
            _ends(gold, predicted, end),
        )
        for start, end in pairwise(edges)
    )
    wrong = [match for match in matches_of(sentence) if match.kind != "correct"]
    return Marked(sentence.id, stretches, tuple(_mistake(match, words) for match in wrong))


def _type_at(found: Sequence[Mention], word: int) -> str | None:
    return next((label for start, end, label in found if start <= word < end), None)


def _ends(
    gold: Sequence[Mention], predicted: Sequence[Mention], place: int
) -> tuple[tuple[str, str], ...]:
    both = set(gold) & set(predicted)
    ends = [("correct", each[2]) for each in gold if each in both and each[1] == place]
    ends += [("gold", each[2]) for each in gold if each not in both and each[1] == place]
    ends += [("predicted", each[2]) for each in predicted if each not in both and each[1] == place]
    return tuple(ends)


def _mistake(match: Match, words: Sequence[str]) -> Mistake:
    return Mistake(match.kind, _say(match.gold, words), _say(match.predicted, words))


def _say(mention: Mention | None, words: Sequence[str]) -> tuple[str, str] | None:
    if mention is None:
        return None
    start, end, label = mention
    return " ".join(words[start:end]), label
