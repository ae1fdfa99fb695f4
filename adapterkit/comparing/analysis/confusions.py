"""Which types or classes are taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from adapterkit.comparing.analysis.spans import matches_of
from adapterkit.comparing.records.record import Prediction
from adapterkit.tasks.config import Kind

Pair = tuple[str | None, str | None]
"""What is true and what was predicted; None is nothing."""


def count_confusions(predictions: Iterable[Prediction], kind: Kind) -> Counter[Pair]:
    """Count what is true against what was predicted.

    Mentions are held against each other as in `spans.match_mentions`, whatever their boundaries. A
    text with one class has one pair. Where it may have several, a class is either found, missed
    (predicted is None) or spurious (gold is None).

    Args:
        predictions: Of one run.
        kind: The kind of task.
    """
    counts: Counter[Pair] = Counter()
    for each in predictions:
        counts.update(_pairs(each, kind))
    return counts


def _pairs(prediction: Prediction, kind: Kind) -> list[Pair]:
    if kind == "ner":
        return [
            (match.gold[2] if match.gold else None, match.predicted[2] if match.predicted else None)
            for match in matches_of(prediction)
        ]
    gold, predicted = _names(prediction.gold), _names(prediction.predicted)
    if kind == "classification":
        return [(one, other) for one in gold for other in predicted]
    return [
        (name if name in gold else None, name if name in predicted else None)
        for name in sorted({*gold, *predicted})
    ]


def _names(items: Iterable[object]) -> list[str]:
    return sorted(item for item in items if isinstance(item, str))
