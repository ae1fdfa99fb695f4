"""Single-label classification: accuracy, macro-F1 and micro-F1, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from adapterkit.tasks.metrics.report import label_report

_DESCRIPTION = """Accuracy, macro-F1 over all classes and micro-F1 over the positive ones: all but
those named as negative ("no relation" and the like). Without any, micro-F1 is accuracy."""


class SingleLabelF1(evaluate.Metric):  # type: ignore[misc]
    """Accuracy and F1 of class numbers."""

    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("int32")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description="predictions, references: class numbers; labels: class names; "
            "negative: names of negative classes",
            features=datasets.Features({"predictions": number, "references": number}),
        )

    def _compute(
        self,
        predictions: Sequence[int],
        references: Sequence[int],
        labels: Sequence[str],
        negative: Sequence[str] = (),
    ) -> dict[str, Any]:
        identity = np.eye(len(labels), dtype=np.int8)
        given, gold = identity[np.asarray(predictions)], identity[np.asarray(references)]
        everything = label_report(gold, given, labels)
        positive = [index for index, label in enumerate(labels) if label not in negative]
        pooled = label_report(gold[:, positive], given[:, positive], [labels[i] for i in positive])
        return {
            "accuracy": float((np.asarray(predictions) == np.asarray(references)).mean()),
            "macro_f1": everything.macro_f1,
            "micro_precision": pooled.precision,
            "micro_recall": pooled.recall,
            "micro_f1": pooled.f1,
            "per_type": everything.per_label,
        }
