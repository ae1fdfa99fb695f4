"""Simulated predictions of rows between which there is no difference.

Documents have more or fewer mentions (negative binomial) and are more or less hard; so are mentions
in them, for every system alike, so that the errors of two systems go together as those of real ones
do. What is simulated is the counts that a score is made of, see `comparing.statistics.sufficient`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapterkit.comparing.statistics.sufficient import DocumentStatistics

_DOCUMENT_SD = 0.8
_ITEM_SD = 1.0
_DISPERSION = 2.0
_SPURIOUS_PER_MENTION = 0.5


@dataclass(frozen=True)
class Tagger:
    """A system that finds mentions.

    Attributes:
        find: Logit of the chance to find a mention of middling difficulty.
        accept: Logit of the chance to take a middling candidate that is no mention for one.
    """

    find: float
    accept: float


def expected_f1(tagger: Tagger) -> float:
    """The F1 a tagger has on endlessly many documents, by Gauss-Hermite quadrature."""
    found = _expected(tagger.find)
    return 2 * found / (found + _SPURIOUS_PER_MENTION * _expected(tagger.accept) + 1)


def as_good_as(tagger: Tagger, find: float) -> Tagger:
    """Return the tagger with another ``find`` whose expected F1 is the same."""
    target = expected_f1(tagger)
    low, high = -20.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        too_good = expected_f1(Tagger(find, middle)) > target
        low, high = (middle, high) if too_good else (low, middle)
    return Tagger(find, low)


def tagged(
    generator: np.random.Generator, taggers: Sequence[Tagger], documents: int, mentions: float
) -> list[DocumentStatistics]:
    """What each tagger makes of the same documents.

    Args:
        generator: Where chance comes from.
        taggers: One for each run.
        documents: How many documents.
        mentions: Their mean number in a document.
    """
    chance = _DISPERSION / (_DISPERSION + mentions)
    gold = generator.negative_binomial(_DISPERSION, chance, documents)
    candidates = generator.poisson(_SPURIOUS_PER_MENTION * gold)
    hardness = generator.normal(0, _DOCUMENT_SD, documents)
    true, spurious = _items(generator, gold, hardness), _items(generator, candidates, hardness)
    results = []
    for tagger in taggers:
        right = _accepted(generator, true, tagger.find, documents)
        wrong = _accepted(generator, spurious, tagger.accept, documents)
        results.append(_statistics(np.stack([right, right + wrong, gold], axis=1)))
    return results


def labelled(
    generator: np.random.Generator, runs: int, documents: int, frequencies: Sequence[float]
) -> list[DocumentStatistics]:
    """What runs of one multi-label classifier make of the same documents.

    Args:
        generator: Where chance comes from.
        runs: How many.
        documents: How many documents.
        frequencies: The share of the documents that have each label.
    """
    shape = (documents, len(frequencies))
    gold = generator.random(shape) < np.asarray(frequencies)
    hardness = generator.normal(0, _DOCUMENT_SD, (documents, 1))
    hardness = hardness + generator.normal(0, _ITEM_SD, shape)
    chance = np.where(gold, _logistic(1.2 + hardness), _logistic(-3.5 + hardness))
    results = []
    for _ in range(runs):
        given = generator.random(shape) < chance
        counts = np.stack([gold & given, given, gold], axis=2)
        # Columns 3-5 are those of example-based figures, which macro-F1 does not read.
        columns = [counts.sum(axis=1), np.zeros((documents, 3)), counts.reshape(documents, -1)]
        results.append(_statistics(np.concatenate(columns, axis=1)))
    return results


Items = tuple[NDArray[np.intp], NDArray[np.float64]]


def _items(
    generator: np.random.Generator, counts: NDArray[np.int64], hardness: NDArray[np.float64]
) -> Items:
    """The document and the hardness of each item."""
    documents = np.repeat(np.arange(len(counts)), counts)
    return documents, hardness[documents] + generator.normal(0, _ITEM_SD, len(documents))


def _accepted(
    generator: np.random.Generator, items: Items, logit: float, documents: int
) -> NDArray[np.intp]:
    owners, hardness = items
    accepted = generator.random(len(owners)) < _logistic(logit + hardness)
    return np.bincount(owners[accepted], minlength=documents)


def _statistics(values: NDArray[np.generic]) -> DocumentStatistics:
    return DocumentStatistics(tuple(map(str, range(len(values)))), values.astype(np.float64))


def _expected(logit: float) -> float:
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = np.hypot(_DOCUMENT_SD, _ITEM_SD)
    return float(_logistic(logit + spread * nodes) @ weights / weights.sum())


def _logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))
