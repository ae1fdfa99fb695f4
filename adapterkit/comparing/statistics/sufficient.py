"""What each document adds to a score.

Every metric of a task is a function of sums over documents, so a resample of documents is scored
from sums alone, without looking at predictions again. The columns of those sums are:

====== ===========================================================================================
column what is summed
====== ===========================================================================================
0-2    items that are right, predicted, true: mentions of a NER task, labels of a multi-label one,
       and of a single-label one those that are not negative
3-5    examples: precision, recall, and how many count. Classification only; a single-label example
       has precision and recall 1 where it is right and 0 where not, and a multi-label example
       without any true label does not count
6...   the same three as 0-2 for each label in turn. Classification only
====== ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapterkit.comparing.records.record import Prediction
from adapterkit.tasks.config import TaskConfig

Array = NDArray[np.float64]

_ITEMS = slice(0, 3)
_EXAMPLES = slice(3, 6)
_LABELS = slice(6, None)


@dataclass(frozen=True)
class DocumentStatistics:
    """What each document adds to the sums that a score is made of.

    Attributes:
        documents: Ids, in the order of their first example.
        values: Array (documents, columns); see the columns above.
    """

    documents: tuple[str, ...]
    values: Array

    @property
    def sums(self) -> Array:
        """The sums over all documents: array (columns,)."""
        return np.asarray(self.values.sum(axis=0))


def document_statistics(task: TaskConfig, predictions: Sequence[Prediction]) -> DocumentStatistics:
    """Sum up predictions document by document.

    Args:
        task: The task they are for.
        predictions: Those of a split.
    """
    count = {"ner": _count_mentions, "classification": _count_class, "multilabel": _count_labels}
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(p.document, len(numbers)) for p in predictions]
    width = 3 if task.kind == "ner" else 6 + 3 * len(task.labels)
    values = np.zeros((len(numbers), width))
    for row, prediction in zip(rows, predictions, strict=True):
        values[row] += count[task.kind](task, prediction)
    return DocumentStatistics(tuple(numbers), values)


def score_of(metric: str, sums: Array) -> Array:
    """Return a metric from sums over documents.

    Args:
        metric: A metric of `tasks.config.METRICS`.
        sums: Array (..., columns).

    Returns:
        Array (...). A figure whose denominator is zero is zero.
    """
    return _METRICS[metric].score(sums)


def gradient_of(metric: str, sums: Array) -> Array:
    """Return the derivatives of a metric by each sum: an array of the shape of ``sums``.

    Every metric is a ratio, unchanged when all sums are scaled, so the derivatives are orthogonal
    to the sums themselves (Euler's theorem on homogeneous functions).
    """
    return _METRICS[metric].gradient(sums)


@dataclass(frozen=True)
class _Metric:
    score: Callable[[Array], Array]
    gradient: Callable[[Array], Array]


def _items(predicted: frozenset[object], gold: frozenset[object]) -> tuple[int, int, int]:
    return len(predicted & gold), len(predicted), len(gold)


def _count_mentions(task: TaskConfig, prediction: Prediction) -> list[float]:
    return list(_items(prediction.predicted, prediction.gold))


def _count_class(task: TaskConfig, prediction: Prediction) -> list[float]:
    positive = frozenset(task.labels) - frozenset(task.negative_labels)
    right = float(prediction.predicted == prediction.gold)
    return [
        *_items(prediction.predicted & positive, prediction.gold & positive),
        right,
        right,
        1.0,
        *_by_label(task, prediction),
    ]


def _count_labels(task: TaskConfig, prediction: Prediction) -> list[float]:
    right, predicted, gold = _items(prediction.predicted, prediction.gold)
    example = (right / max(predicted, 1), right / gold, 1.0) if gold else (0.0, 0.0, 0.0)
    return [right, predicted, gold, *example, *_by_label(task, prediction)]


def _by_label(task: TaskConfig, prediction: Prediction) -> list[int]:
    one_each = (frozenset([label]) for label in task.labels)
    return [
        count
        for label in one_each
        for count in _items(prediction.predicted & label, prediction.gold & label)
    ]


def _f1(counts: Array) -> Array:
    """F1 of counts (..., 3): right, predicted, true."""
    return _ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def _f1_gradient(counts: Array) -> Array:
    total = counts[..., 1] + counts[..., 2]
    by_total = _ratio(-2 * counts[..., 0], total**2)
    return np.stack([_ratio(np.full_like(total, 2.0), total), by_total, by_total], axis=-1)


def _micro(sums: Array) -> Array:
    return _f1(sums[..., _ITEMS])


def _micro_gradient(sums: Array) -> Array:
    gradient = np.zeros_like(sums)
    gradient[..., _ITEMS] = _f1_gradient(sums[..., _ITEMS])
    return gradient


def _macro(sums: Array) -> Array:
    return np.asarray(_f1(_triples(sums)).mean(axis=-1))


def _macro_gradient(sums: Array) -> Array:
    triples = _triples(sums)
    gradient = np.zeros_like(sums)
    each = _f1_gradient(triples) / triples.shape[-2]
    gradient[..., _LABELS] = each.reshape(sums[..., _LABELS].shape)
    return gradient


def _triples(sums: Array) -> Array:
    labels = sums[..., _LABELS]
    return labels.reshape(*labels.shape[:-1], -1, 3)


def _accuracy(sums: Array) -> Array:
    return _ratio(sums[..., 3], sums[..., 5])


def _accuracy_gradient(sums: Array) -> Array:
    right, count = sums[..., 3], sums[..., 5]
    gradient = np.zeros_like(sums)
    gradient[..., 3] = _ratio(np.ones_like(count), count)
    gradient[..., 5] = _ratio(-right, count**2)
    return gradient


def _example_f1(sums: Array) -> Array:
    precision, recall, count = np.moveaxis(sums[..., _EXAMPLES], -1, 0)
    return _ratio(2 * precision * recall, count * (precision + recall))


def _example_f1_gradient(sums: Array) -> Array:
    precision, recall, count = np.moveaxis(sums[..., _EXAMPLES], -1, 0)
    scale = count * (precision + recall) ** 2
    gradient = np.zeros_like(sums)
    gradient[..., 3] = _ratio(2 * recall**2, scale)
    gradient[..., 4] = _ratio(2 * precision**2, scale)
    gradient[..., 5] = _ratio(-_example_f1(sums), count)
    return gradient


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Divide, with zero where the denominator is zero."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


_METRICS: Mapping[str, _Metric] = {
    "strict_f1": _Metric(_micro, _micro_gradient),
    "micro_f1": _Metric(_micro, _micro_gradient),
    "macro_f1": _Metric(_macro, _macro_gradient),
    "accuracy": _Metric(_accuracy, _accuracy_gradient),
    "example_f1": _Metric(_example_f1, _example_f1_gradient),
}
