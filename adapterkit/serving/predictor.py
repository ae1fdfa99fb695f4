"""Predicting plain text with what a run learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapterkit.backbones.fusing import fuse_updates
from adapterkit.runs.progress import Progress, Silence
from adapterkit.serving.entities import find_entities, readable, segment_texts
from adapterkit.serving.predictions import Prediction, ScoredLabel
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.decoding import decode_classes
from adapterkit.tasks.examples import Example, TextExample
from adapterkit.tuning.evaluation import EvaluationSplit, evaluation_split, predict_logits
from adapterkit.tuning.reloading import LoadedRun, load_run


class Predictor:
    """A backbone with one adapter and its head, ready to read plain text.

    Args:
        path: Where the adapter was loaded from.
        run: The loaded run.
    """

    def __init__(self, path: Path, run: LoadedRun) -> None:
        self.path = path
        self._run = run

    @property
    def task(self) -> TaskConfig:
        """The task the adapter was trained for."""
        return self._run.task

    def predict(self, texts: Sequence[str], progress: Progress | None = None) -> list[Prediction]:
        """Find entities in texts, or classify them.

        NER texts are split into sentences and words and may be of any length. Classification
        reads each text as a whole, up to the length the run was trained with.

        Args:
            texts: The texts; a blank one gets neither entities nor labels.
            progress: Told how many windows are done.

        Returns:
            One prediction a text, in the same order. Offsets count Unicode code points of the
            text as given: ``text[entity.start:entity.end] == entity.text``.

        Raises:
            TypeError: If ``texts`` is one string, or holds something else than strings.
            UserError: If the model's outputs are not finite.
        """
        _check_texts(texts)
        listener = progress or Silence()
        if self.task.kind == "ner":
            return self._find_entities(texts, listener)
        return self._classify(texts, listener)

    def _find_entities(self, texts: Sequence[str], progress: Progress) -> list[Prediction]:
        segmented = segment_texts(texts)
        if not segmented.sentences:
            return [Prediction(text) for text in texts]
        split = self._encode(segmented.examples())
        logits = self._logits(split, progress)
        entities = find_entities(self.task, segmented, split.encoded, logits)
        return [
            Prediction(text, entities=found) for text, found in zip(texts, entities, strict=True)
        ]

    def _classify(self, texts: Sequence[str], progress: Progress) -> list[Prediction]:
        predictions = [Prediction(text) for text in texts]
        filled = [number for number, text in enumerate(texts) if text.strip()]
        if not filled:
            return predictions
        # Batches of single-label tasks hold a target; the logits do not depend on it.
        target = self.task.labels[:1] if self.task.kind == "classification" else ()
        examples = [
            TextExample(str(number), str(number), readable(texts[number]), target)
            for number in filled
        ]
        split = self._encode(examples)
        logits = np.stack(self._logits(split, progress)).astype(np.float64)
        chosen = decode_classes(logits, self.task)
        probabilities = _probabilities(logits, self.task)
        for row, number in enumerate(filled):
            scores = tuple(map(ScoredLabel, self.task.labels, probabilities[row].tolist()))
            labels = [scored for scored in scores if scored.label in chosen[row]]
            predictions[number] = Prediction(
                texts[number],
                labels=tuple(sorted(labels, key=lambda scored: -scored.score)),
                scores=scores,
                is_truncated=self._is_truncated(examples[row].text),
            )
        return predictions

    def _encode(self, examples: Sequence[Example]) -> EvaluationSplit:
        tokenizer = self._run.backbone.tokenizer
        return evaluation_split(self.task, examples, tokenizer, self._run.max_length)

    def _logits(self, split: EvaluationSplit, progress: Progress) -> list[NDArray[Any]]:
        progress.begin(f"predicting {self.task.name}", len(split.encoded.windows))
        return predict_logits(self._run.applied.model, split, progress)

    def _is_truncated(self, text: str) -> bool:
        pieces = self._run.backbone.tokenizer(text, truncation=False, verbose=False)["input_ids"]
        return len(pieces) > self._run.max_length


def load_adapter(path: str | Path) -> Predictor:
    """Load what a run learned, on its backbone.

    Args:
        path: A run directory.

    Raises:
        UserError: If the run is unfinished or damaged, or its backbone is gone or has changed.
    """
    run = load_run(path)
    # Its weights change no more, and a text may come alone.
    with torch.no_grad():
        fuse_updates(run.backbone.model)
    return Predictor(Path(path), run)


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
