"""Precision, recall and F1 of label indicator rows: pooled, averaged and per label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LabelReport:
    """Figures of a set of labels; a figure whose denominator is zero is zero."""

    precision: float
    recall: float
    f1: float
    macro_f1: float
    per_label: dict[str, dict[str, float | int]]


def label_report(gold: NDArray[Any], given: NDArray[Any], labels: Sequence[str]) -> LabelReport:
    """Score indicator rows: arrays (examples, labels) of 0 and 1."""
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, support = precision_recall_fscore_support(
        gold, given, labels=range(len(labels)), average=None, zero_division=0
    )
    right = int((gold & given).sum())
    pooled_precision = right / max(int(given.sum()), 1)
    pooled_recall = right / max(int(gold.sum()), 1)
    pooled_f1 = 2 * right / max(int(given.sum()) + int(gold.sum()), 1)
    per_label = {
        label: {
            "precision": float(precision[index]),
            "recall": float(recall[index]),
            "f1": float(f1[index]),
            "support": int(support[index]),
        }
        for index, label in enumerate(labels)
    }
    return LabelReport(pooled_precision, pooled_recall, pooled_f1, float(f1.mean()), per_label)
