"""The kinds of error that a tagger makes, told from gold and predicted mentions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from adapterkit.comparing.records.record import Prediction

Mention = tuple[int, int, str]
"""First word, word behind the last, type."""

ErrorKind = Literal["correct", "boundary", "type", "boundary and type", "missed", "spurious"]
KINDS: tuple[ErrorKind, ...] = (
    "correct",
    "boundary",
    "type",
    "boundary and type",
    "missed",
    "spurious",
)
"""From right to wrong; all but the first are errors."""


@dataclass(frozen=True)
class Match:
    """A gold mention and the predicted one that it is held against.

    Attributes:
        kind: What the prediction gets wrong.
        gold: The gold mention; None where a mention was predicted that touches none that is free.
        predicted: The predicted mention; None where the gold one was missed.
    """

    kind: ErrorKind
    gold: Mention | None
    predicted: Mention | None

    @property
    def start(self) -> int:
        """The first word of either mention."""
        return min(mention[0] for mention in (self.gold, self.predicted) if mention is not None)


def match_mentions(gold: Collection[Mention], predicted: Collection[Mention]) -> list[Match]:
    """Hold each gold mention of a sentence against at most one predicted one, and the reverse.

    Equal mentions are matched first, then those with the same words, then those that overlap and
    have the same type, then those that merely overlap; of several the one with most words in
    common. This follows the scheme of MUC and SemEval-2013 task 9, where ``boundary and type`` is
    the partial match of another type.

    Returns:
        The matches in the order of the sentence. Every mention is in exactly one of them.
    """
    equal = set(gold) & set(predicted)
    left, right = set(gold) - equal, set(predicted) - equal
    matches = [Match("correct", mention, mention) for mention in equal]
    for kind, fits in _STAGES if left and right else ():
        for one, other in _best_pairs(left, right, fits):
            if one in left and other in right:
                left.remove(one)
                right.remove(other)
                matches.append(Match(kind, one, other))
    matches += [Match("missed", mention, None) for mention in left]
    matches += [Match("spurious", None, mention) for mention in right]
    return sorted(matches, key=lambda match: (match.start, KINDS.index(match.kind)))


def count_errors(predictions: Iterable[Prediction]) -> Counter[ErrorKind]:
    """How many matches of each kind there are."""
    return Counter(match.kind for each in predictions for match in matches_of(each))


def matches_of(prediction: Prediction) -> list[Match]:
    """The matches of a sentence."""
    return match_mentions(mentions(prediction.gold), mentions(prediction.predicted))


def mentions(items: Iterable[object]) -> list[Mention]:
    """The mentions among the items of a prediction, ascending."""
    return sorted(item for item in items if isinstance(item, tuple))


def _best_pairs(
    left: Collection[Mention], right: Collection[Mention], fits: Callable[[Mention, Mention], bool]
) -> Iterator[tuple[Mention, Mention]]:
    pairs = [(one, other) for one in left for other in right if fits(one, other)]
    yield from sorted(pairs, key=lambda pair: (-_overlap(*pair), pair))


def _overlap(one: Mention, other: Mention) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def _same_words(one: Mention, other: Mention) -> bool:
    return one[:2] == other[:2]


def _same_type_overlapping(one: Mention, other: Mention) -> bool:
    return one[2] == other[2] and _overlap(one, other) > 0


def _overlapping(one: Mention, other: Mention) -> bool:
    return _overlap(one, other) > 0


_STAGES: tuple[tuple[ErrorKind, Callable[[Mention, Mention], bool]], ...] = (
    ("type", _same_words),
    ("boundary", _same_type_overlapping),
    ("boundary and type", _overlapping),
)
