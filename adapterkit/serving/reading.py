"""Texts as an adapter reads them, and what its logits say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from adapterkit.serving.entities import Segmented, find_entities, readable, segment_texts
from adapterkit.serving.predictions import Prediction, ScoredLabel
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.decoding import decode_classes
from adapterkit.tasks.examples import TextExample
from adapterkit.tuning.evaluation import EvaluationSplit, evaluation_split
from adapterkit.tuning.reloading import LoadedAdapter

Logits = NDArray[np.floating[Any]]


class Reading(Protocol):
    """Some texts, ready to be predicted."""

    @property
    def split(self) -> EvaluationSplit:
        """What the model reads."""

    def for_task(self, task: TaskConfig) -> Reading:
        """The same texts for another task of the same kind, read in windows of the same length."""

    def predictions(self, logits: Sequence[Logits]) -> list[Prediction]:
        """One prediction a text.

        Args:
            logits: For each window of `split` what the head makes of it, as
                `adapterkit.tuning.evaluation.predict_logits` returns it.

        Raises:
            UserError: The logits are not finite.
        """


@dataclass(frozen=True)
class Reader:
    """How one adapter reads texts.

    Attributes:
        task: Its task.
        tokenizer: Of its backbone.
        max_length: Word pieces a window.
    """

    task: TaskConfig
    tokenizer: PreTrainedTokenizerFast
    max_length: int

    @classmethod
    def of(cls, run: LoadedAdapter) -> Reader:
        """The reader of a loaded run."""
        return cls(run.task, run.backbone.tokenizer, run.max_length)

    def read(self, texts: Sequence[str]) -> Reading:
        """Cut texts in windows.

        Raises:
            TypeError: ``texts`` is one string, or holds something else than strings.
        """
        _check_texts(texts)
        if self.task.kind == "ner":
            segmented = segment_texts(texts)
            return _EntityReading(segmented, self._encode(segmented.examples()))
        # Batches of single-label tasks hold a target; the logits do not depend on it.
        target = self.task.labels[:1] if self.task.kind == "classification" else ()
        filled = [number for number, text in enumerate(texts) if text.strip()]
        examples = [TextExample(str(n), str(n), readable(texts[n]), target) for n in filled]
        truncated = frozenset(
            number
            for number, example in zip(filled, examples, strict=True)
            if self._pieces(example.text) > self.max_length
        )
        return _ClassReading(tuple(texts), tuple(filled), truncated, self._encode(examples))

    def _encode(self, examples: Sequence[Any]) -> EvaluationSplit:
        return evaluation_split(self.task, examples, self.tokenizer, self.max_length)

    def _pieces(self, text: str) -> int:
        return len(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])


@dataclass(frozen=True)
class _EntityReading:
    segmented: Segmented
    split: EvaluationSplit

    def for_task(self, task: TaskConfig) -> _EntityReading:
        return replace(self, split=replace(self.split, task=task))

    def predictions(self, logits: Sequence[Logits]) -> list[Prediction]:
        found = find_entities(self.split.task, self.segmented, self.split.encoded, logits)
        return [
            Prediction(text, entities=entities)
            for text, entities in zip(self.segmented.texts, found, strict=True)
        ]


@dataclass(frozen=True)
class _ClassReading:
    texts: tuple[str, ...]
    filled: tuple[int, ...]
    truncated: frozenset[int]
    split: EvaluationSplit

    def for_task(self, task: TaskConfig) -> _ClassReading:
        return replace(self, split=replace(self.split, task=task))

    def predictions(self, logits: Sequence[Logits]) -> list[Prediction]:
        predictions = [Prediction(text) for text in self.texts]
        if not self.filled:
            return predictions
        task = self.split.task
        rows = np.stack(list(logits)).astype(np.float64)
        chosen = decode_classes(rows, task)
        probabilities = _probabilities(rows, task)
        for row, number in enumerate(self.filled):
            scores = tuple(map(ScoredLabel, task.labels, probabilities[row].tolist()))
            labels = [scored for scored in scores if scored.label in chosen[row]]
            predictions[number] = Prediction(
                self.texts[number],
                labels=tuple(sorted(labels, key=lambda scored: -scored.score)),
                scores=scores,
                is_truncated=number in self.truncated,
            )
        return predictions


def _probabilities(logits: NDArray[np.float64], task: TaskConfig) -> NDArray[np.float64]:
    if task.kind == "multilabel":
        # The logistic function, written so that no exponential overflows.
        return np.exp(-np.logaddexp(0.0, -logits))
    return np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise TypeError("predict takes a list of texts, not one text: predict([text])")
    wrong = [number for number, text in enumerate(texts) if not isinstance(text, str)]
    if wrong:
        raise TypeError(f"text {wrong[0]} is {type(texts[wrong[0]]).__name__}, not str")
