"""Multi-label classification: pooled, per-label and example-based F1, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from adapterkit.tasks.metrics.report import label_report

_DESCRIPTION = """Micro-averaged precision, recall and F1 over all decisions, macro-F1 and F1 per
label; and the example-based F1 of the BLUE benchmark (Peng et al. 2019): the harmonic mean of the
mean precision and the mean recall of the examples that have at least one label."""

_CITATION = """@inproceedings{peng-etal-2019-transfer,
  title={Transfer Learning in Biomedical Natural Language Processing: An Evaluation of BERT and
    ELMo on Ten Benchmarking Datasets},
  author={Peng, Yifan and Yan, Shankai and Lu, Zhiyong},
  booktitle={Proceedings of BioNLP 2019},
  year={2019},
}"""


class MultiLabelF1(evaluate.Metric):  # type: ignore[misc]
    """F1 of label indicator rows (1 where a label is given)."""

    def _info(self) -> evaluate.MetricInfo:
        rows = datasets.Sequence(datasets.Value("int8"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description="predictions, references: indicator rows; labels: their names",
            features=datasets.Features({"predictions": rows, "references": rows}),
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[int]],
        references: Sequence[Sequence[int]],
        labels: Sequence[str],
    ) -> dict[str, Any]:
        given, gold = np.asarray(predictions), np.asarray(references)
        precision, recall, f1 = example_based(given, gold)
        report = label_report(gold, given, labels)
        return {
            "micro_precision": report.precision,
            "micro_recall": report.recall,
            "micro_f1": report.f1,
            "macro_f1": report.macro_f1,
            "example_precision": precision,
            "example_recall": recall,
            "example_f1": f1,
            "exact_match": float((given == gold).all(axis=1).mean()),
            "per_type": report.per_label,
        }


def example_based(given: NDArray[Any], gold: NDArray[Any]) -> tuple[float, float, float]:
    """Return BLUE's example-based precision, recall and F1.

    Args:
        given: Predicted labels, array (examples, labels) of 0 and 1.
        gold: True labels, likewise. Examples without any are left out, as BLUE has none: their
            recall is not defined.
    """
    labelled = gold.any(axis=1)
    if not labelled.any():
        return 0.0, 0.0, 0.0
    given, gold = given[labelled], gold[labelled]
    right = (given & gold).sum(axis=1)
    precision = float((right / np.maximum(given.sum(axis=1), 1)).mean())
    recall = float((right / gold.sum(axis=1)).mean())
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0
