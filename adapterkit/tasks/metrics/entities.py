"""Entity-level precision, recall and F1, by seqeval."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

_DESCRIPTION = """Micro-averaged precision, recall and F1 over named entities, per type as well.
Strict mode counts an entity where span and type are exactly right and its tags are valid IOB2
(seqeval with mode="strict", scheme=IOB2); lenient mode is conlleval's reading of tags."""

_CITATION = """@misc{seqeval,
  title={{seqeval}: A Python framework for sequence labeling evaluation},
  url={https://github.com/chakki-works/seqeval},
  author={Hiroki Nakayama},
  year={2018},
}"""


class EntityF1(evaluate.Metric):  # type: ignore[misc]
    """Entity F1 of tag sequences.

    ``compute(predictions, references, strict)`` takes lists of IOB2 tag sequences and returns
    ``precision``, ``recall``, ``f1`` (micro), ``macro_f1`` (the mean over the types that occur in
    either) and ``per_type``; a figure whose denominator is zero is zero.
    """

    def _info(self) -> evaluate.MetricInfo:
        tags = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description="predictions, references: lists of tag sequences; strict: bool",
            features=datasets.Features({"predictions": tags, "references": tags}),
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[str]],
        references: Sequence[Sequence[str]],
        strict: bool = True,
    ) -> dict[str, Any]:
        from seqeval.metrics import classification_report
        from seqeval.scheme import IOB2

        options = {"mode": "strict", "scheme": IOB2} if strict else {}
        with warnings.catch_warnings():
            # seqeval warns of every tag that is not in its list of prefixes; ours are checked.
            warnings.simplefilter("ignore")
            report = classification_report(
                [list(tags) for tags in references],
                [list(tags) for tags in predictions],
                output_dict=True,
                zero_division=0,
                **options,
            )
        rows = {name: _row(values) for name, values in report.items()}
        micro = rows.pop("micro avg", _row({}))
        macro = rows.pop("macro avg", _row({}))
        rows.pop("weighted avg", None)
        if not rows:
            # Neither gold nor predictions hold an entity: seqeval's mean of nothing is NaN.
            macro = _row({})
        return {
            "precision": micro["precision"],
            "recall": micro["recall"],
            "f1": micro["f1"],
            "macro_f1": macro["f1"],
            "per_type": rows,
        }


def _row(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "precision": float(values.get("precision", 0.0)),
        "recall": float(values.get("recall", 0.0)),
        "f1": float(values.get("f1-score", 0.0)),
        "support": int(values.get("support", 0)),
    }
