"""Predicting a split and scoring it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.fusing import fused_updates
from adapterkit.backbones.prefix import states_above, steps_run
from adapterkit.runs.progress import Progress, Silence
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.decoding import decode_classes, decode_ner
from adapterkit.tasks.encoding import Encoded, Protocol, encode, scored_examples
from adapterkit.tasks.examples import Example, NerExample, all_of
from adapterkit.tasks.scoring import score
from adapterkit.tuning.batches import Collator, WindowDataset, cut_by_tokens

if TYPE_CHECKING:
    from adapterkit.tuning.state_file import StateFile
    from adapterkit.tuning.teaching import Teaching

EVALUATION_TOKENS = 4096
"""Word pieces of a batch that is scored, padding included; see `evaluation_tokens`."""


@dataclass(frozen=True)
class EvaluationSplit:
    """A split ready to be predicted.

    Attributes:
        task: The task.
        examples: As they are scored; with protocol ``nlpie`` pieces stand as words.
        encoded: What the model reads.
        pad_token_id: What short windows are padded with.
        states: What the model's frozen prefix makes of the windows, where that is kept.
        teaching: What a teacher says of them, where there is one and they are trained on.
    """

    task: TaskConfig
    examples: tuple[Example, ...]
    encoded: Encoded
    pad_token_id: int
    states: StateFile | None = None
    teaching: Teaching | None = None


def evaluation_split(
    task: TaskConfig,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    protocol: Protocol = "word",
) -> EvaluationSplit:
    """Encode a split to be predicted and scored."""
    encoded = encode(task, examples, tokenizer, max_length, protocol)
    scored = tuple(examples)
    if task.kind == "ner":
        scored = scored_examples(encoded, all_of(NerExample, examples), tokenizer)
    return EvaluationSplit(task, scored, encoded, tokenizer.pad_token_id)


def evaluation_tokens(model: RecursiveAdapterModel) -> int:
    """Word pieces of a batch that is scored, padding included.

    They are fewer where a side path reads several states of each piece, so that the states of a
    batch take as much memory as elsewhere.
    """
    return EVALUATION_TOKENS // len(states_above(model.base_model))


def predict_logits(
    model: RecursiveAdapterModel, split: EvaluationSplit, progress: Progress | None = None
) -> list[np.ndarray]:
    """The head's logits for every window, in the order of the windows.

    Returns:
        NER: arrays (scored positions of the window, tags); otherwise arrays (classes,).
    """
    progress = progress or Silence()
    lengths = WindowDataset(split.encoded).lengths
    collate = Collator(split.task, split.encoded, split.pad_token_id, split.states)
    logits: list[np.ndarray] = [np.empty(0)] * len(lengths)
    was_training = model.training
    if was_training:
        model.eval()
    steps = steps_run(model, split.states is not None)
    with torch.inference_mode(), fused_updates(steps):
        for batch in cut_by_tokens(range(len(lengths)), lengths, evaluation_tokens(model)):
            features = collate(batch)
            del features["labels"]
            output = model(**{name: t.to(model.device) for name, t in features.items()}).logits
            rows = output.float().cpu().numpy()
            for index, row in zip(batch, rows, strict=True):
                logits[index] = scored_rows(split, index, row)
            progress.advance(len(batch))
    if was_training:
        model.train()
    return logits


def scored_rows(split: EvaluationSplit, index: int, row: np.ndarray) -> np.ndarray:
    """What belongs to window `index` of its row in a batch of logits."""
    window = split.encoded.windows[index]
    return row[: len(window.positions)] if split.task.kind == "ner" else row


def predict_split(
    model: RecursiveAdapterModel, split: EvaluationSplit, progress: Progress | None = None
) -> list[tuple[str, ...]]:
    """What the model predicts: a tag a word, or the classes of each text."""
    return decode_logits(split, predict_logits(model, split, progress))


def decode_logits(split: EvaluationSplit, logits: Sequence[np.ndarray]) -> list[tuple[str, ...]]:
    """What logits, as `predict_logits` returns them, say: a tag a word, or classes a text."""
    if split.task.kind == "ner":
        return decode_ner(split.encoded, all_of(NerExample, split.examples), logits, split.task)
    return decode_classes(np.stack(logits), split.task)


def score_split(split: EvaluationSplit, predictions: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """Score predictions by the task's metric."""
    return score(split.task, split.examples, predictions, split.encoded.protocol)
