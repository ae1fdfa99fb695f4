"""A quick look at what frozen states know: a linear classifier on a task's train and dev split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.decoding import decode_ner
from adapterkit.tasks.encoding import Encoded, encode
from adapterkit.tasks.examples import NerExample, all_of
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.scoring import score
from adapterkit.tasks.sources import load_data

States = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From ids and attention mask, each (batch, tokens), to states (batch, tokens, hidden)."""

_BATCH = 32
_ITERATIONS = 200


@dataclass(frozen=True)
class Probe:
    """Sentences of a NER task's train and dev split, ready to be read by a frozen encoder.

    Attributes:
        task: The task.
        source: What kind of place the data are from; ``sample`` says that they are no corpus.
        train: Sentences to learn on.
        dev: Sentences to score on.
        encoded: The two as the model reads them.
        pad_token_id: What short windows are padded with.
    """

    task: TaskConfig
    source: str
    train: tuple[NerExample, ...]
    dev: tuple[NerExample, ...]
    encoded: tuple[Encoded, Encoded]
    pad_token_id: int


def open_probe(
    name: str, tokenizer: PreTrainedTokenizerFast, window: int, sentences: int = 500
) -> Probe:
    """Read the train and dev split of a task; the test split is never touched.

    Args:
        name: A NER task's name, or its YAML file.
        tokenizer: The encoder's.
        window: Word pieces a window.
        sentences: How many of each split, evenly spread over it.

    Raises:
        UserError: There is no such task, it is no NER task, or its data are missing.
    """
    task = load_task(name)
    if task.kind != "ner":
        raise UserError(
            "the probe reads tasks of named entities",
            where="evaluation.probe",
            found=f"{name}, a {task.kind} task",
            allowed="a NER task, such as bc5cdr",
        )
    data = load_data(task, splits=("train", "dev"))
    train, dev = (
        _spread(all_of(NerExample, data.splits[split]), sentences) for split in ("train", "dev")
    )
    encoded = (encode(task, train, tokenizer, window), encode(task, dev, tokenizer, window))
    pad = int(tokenizer.pad_token_id)
    return Probe(task, data.source.kind, train, dev, encoded, pad)


def probe_f1(probe: Probe, states: States) -> float:
    """Strict entity F1 on dev of a logistic regression over the states of first pieces.

    Args:
        probe: The data.
        states: The frozen encoder.
    """
    from sklearn.linear_model import LogisticRegression

    train, dev = (_states(probe, encoded, states) for encoded in probe.encoded)
    inputs, targets = _scored(probe.encoded[0], train)
    mean, scale = inputs.mean(0), inputs.std(0) + 1e-6
    classifier = LogisticRegression(max_iter=_ITERATIONS, tol=1e-3)
    classifier.fit((inputs - mean) / scale, targets)
    # A tag that train does not hold is never predicted.
    logits = [np.full((len(rows), len(probe.task.tag_names)), -1e4) for rows in dev]
    for scores, rows in zip(logits, dev, strict=True):
        scores[:, classifier.classes_] = classifier.predict_log_proba((rows - mean) / scale)
    tags = decode_ner(probe.encoded[1], probe.dev, logits, probe.task)
    return float(score(probe.task, probe.dev, tags)["f1"])


def _spread(examples: Sequence[NerExample], count: int) -> tuple[NerExample, ...]:
    if len(examples) <= count:
        return tuple(examples)
    return tuple(examples[index * len(examples) // count] for index in range(count))


def _states(probe: Probe, encoded: Encoded, states: States) -> list[NDArray[np.float32]]:
    """The states of every piece of every window."""
    found: list[NDArray[np.float32]] = []
    for start in range(0, len(encoded.windows), _BATCH):
        windows = encoded.windows[start : start + _BATCH]
        width = max(len(window.input_ids) for window in windows)
        ids = torch.full((len(windows), width), probe.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window.input_ids)] = torch.tensor(window.input_ids)
            mask[row, : len(window.input_ids)] = 1
        rows = states(ids, mask).float().cpu().numpy()
        found += [rows[row, : len(window.input_ids)] for row, window in enumerate(windows)]
    return found


def _scored(
    encoded: Encoded, states: list[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    inputs, targets = [], []
    for window, rows in zip(encoded.windows, states, strict=True):
        positions = list(window.positions)
        inputs.append(rows[positions])
        targets += [window.labels[position] for position in positions]
    return np.concatenate(inputs), np.array(targets)
