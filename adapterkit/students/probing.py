"""What frozen states know of tasks: linear classifiers, learned on train and scored on dev."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from adapterkit.students.probe import Probe, ProbeSplit, ProbeTask
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.decoding import decode_classes, decode_ner
from adapterkit.tasks.encoding import Encoded
from adapterkit.tasks.examples import NerExample, all_of
from adapterkit.tasks.scoring import score

States = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From ids and attention mask, each (batch, tokens), to states (batch, tokens, hidden)."""

Rows = NDArray[np.float32]

_BATCH = 32
_ITERATIONS = 200
_NEVER = -1e4


def probe_scores(probe: Probe, states: States) -> dict[str, float]:
    """What a logistic regression over frozen states reaches on dev, in each task's own metric.

    Words are read at their first piece, texts as the mean over their pieces. On the bundled
    backbone and 500 texts of up to 256 pieces the mean told more than the first token's state
    (dev scores: hoc 0.57 to 0.51, its sentences 0.19 to 0.14, chemprot 0.26 to 0.20, sections of
    abstracts 0.46 to 0.34), and more than both together. On hoc as it is read here, 192 texts of
    up to 128 pieces, the two differ little (0.42 to 0.43).

    Args:
        probe: The tasks.
        states: The frozen encoder.

    Returns:
        A score for each task, by name.
    """
    return {
        probed.task.name: _score(
            probed, *(_rows(part, probe, states) for part in (probed.train, probed.dev))
        )
        for probed in probe.tasks
    }


def _score(probed: ProbeTask, train: list[Rows], dev: list[Rows]) -> float:
    task = probed.task
    inputs, asked = np.concatenate(train), np.concatenate(dev)
    mean, scale = inputs.mean(0), inputs.std(0) + 1e-6
    inputs, asked = (inputs - mean) / scale, (asked - mean) / scale
    targets = _targets(task, probed.train.encoded)
    if task.kind == "multilabel":
        # Of whether a label holds, only how the odds of yes and no compare is asked.
        answers = [_log_probabilities(inputs, column, asked, 2) for column in targets.T]
        logits = np.stack([answer[:, 1] - answer[:, 0] for answer in answers], axis=1)
    else:
        logits = _log_probabilities(inputs, targets, asked, len(task.output_names))
    return float(score(task, probed.dev.examples, _predicted(probed, logits))["score"])


def _targets(task: TaskConfig, encoded: Encoded) -> NDArray[np.int64]:
    """The class of each row, or for a multi-label task whether each label holds."""
    if task.kind == "ner":
        windows = encoded.windows
        return np.array([window.labels[at] for window in windows for at in window.positions])
    if task.kind == "multilabel":
        numbers = range(len(task.labels))
        return np.array([[int(number in own) for number in numbers] for own in encoded.targets])
    return np.array([label for (label,) in encoded.targets])


def _predicted(probed: ProbeTask, logits: NDArray[np.float64]) -> list[tuple[str, ...]]:
    task, dev = probed.task, probed.dev
    if task.kind != "ner":
        return decode_classes(logits, task)
    ends = np.cumsum([len(window.positions) for window in dev.encoded.windows])
    of_windows = np.split(logits, ends[:-1])
    return decode_ner(dev.encoded, all_of(NerExample, dev.examples), of_windows, task)


def _log_probabilities(
    inputs: Rows, classes: NDArray[np.int64], asked: Rows, count: int
) -> NDArray[np.float64]:
    """Of each class on the rows asked; a class that is not learned from is never predicted."""
    from sklearn.linear_model import LogisticRegression

    found = np.full((len(asked), count), _NEVER)
    present = np.unique(classes)
    if len(present) == 1:
        found[:, present] = 0.0
        return found
    classifier = LogisticRegression(max_iter=_ITERATIONS, tol=1e-3)
    classifier.fit(inputs, classes)
    # The probability of what is out of the question is zero in floating point.
    found[:, classifier.classes_] = np.maximum(classifier.predict_log_proba(asked), _NEVER / 2)
    return found


def _rows(part: ProbeSplit, probe: Probe, states: States) -> list[Rows]:
    """For each window what is classified: states of first pieces, or the mean of a text's."""
    windows = part.encoded.windows
    order = sorted(range(len(windows)), key=lambda index: len(windows[index].input_ids))
    found: dict[int, Rows] = {}
    for start in range(0, len(order), _BATCH):
        indices = order[start : start + _BATCH]
        width = len(windows[indices[-1]].input_ids)
        ids = torch.full((len(indices), width), probe.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, index in enumerate(indices):
            pieces = windows[index].input_ids
            ids[row, : len(pieces)] = torch.tensor(pieces)
            mask[row, : len(pieces)] = 1
        read = states(ids, mask).float().cpu().numpy()
        for row, index in enumerate(indices):
            window = windows[index]
            own = read[row, : len(window.input_ids)]
            is_text = not window.labels
            found[index] = own.mean(0, keepdims=True) if is_text else own[list(window.positions)]
    return [found[index] for index in range(len(windows))]
