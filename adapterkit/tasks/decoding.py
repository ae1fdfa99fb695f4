"""From the model's outputs to tags and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.encoding import Encoded
from adapterkit.tasks.examples import NerExample

Logits = NDArray[np.floating[Any]]


def decode_ner(
    encoded: Encoded,
    examples: Sequence[NerExample],
    logits: Sequence[Logits],
    task: TaskConfig,
) -> list[tuple[str, ...]]:
    """Return the predicted IOB2 tags of every example.

    With protocol ``word``: one tag a word, the sequence of highest summed logit among those in
    which ``I-X`` stands only after ``B-X`` or ``I-X`` (Viterbi search). With ``nlpie``: one tag a
    piece, each the most probable by itself.

    Args:
        encoded: The examples as they were encoded.
        examples: The examples.
        logits: For each window an array (scored positions, tags): one row for each of its
            ``positions``.
        task: The task.

    Raises:
        ValueError: If windows and logits do not match.
        UserError: If the model's outputs are not finite.
    """
    if len(logits) != len(encoded.windows):
        raise ValueError(f"{len(encoded.windows)} windows, but logits for {len(logits)}")
    scores, lengths = _scores(encoded, examples, logits, len(task.tag_names))
    _check_finite(scores)
    if encoded.protocol == "nlpie":
        best = scores.argmax(axis=1)
    else:
        best = viterbi(scores, lengths, allowed_transitions(task.tag_names))
    tags = [task.tag_names[index] for index in best.tolist()]
    ends = np.cumsum(lengths).tolist()
    return [
        tuple(tags[end - length : end]) for end, length in zip(ends, lengths.tolist(), strict=True)
    ]


def decode_classes(logits: Logits, task: TaskConfig) -> list[tuple[str, ...]]:
    """Return the predicted labels of every text.

    Args:
        logits: Array (texts, labels).
        task: A classification task: the label of highest logit; or a multi-label one: every label
            whose sigmoid is above one half.

    Raises:
        UserError: If the model's outputs are not finite.
    """
    _check_finite(logits)
    if task.kind == "multilabel":
        return [
            tuple(label for label, is_chosen in zip(task.labels, row, strict=True) if is_chosen)
            for row in (logits > 0).tolist()
        ]
    return [(task.labels[index],) for index in logits.argmax(axis=1).tolist()]


def allowed_transitions(tag_names: Sequence[str]) -> NDArray[np.bool_]:
    """Return what IOB2 allows: row, the tag before (the last row: the start); column, the tag."""
    allowed = np.ones((len(tag_names) + 1, len(tag_names)), dtype=bool)
    for column, tag in enumerate(tag_names):
        if tag.startswith("I-"):
            label = tag[2:]
            allowed[:, column] = [name in (f"B-{label}", tag) for name in tag_names] + [False]
    return allowed


def viterbi(
    scores: NDArray[np.float64], lengths: NDArray[np.intp], allowed: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Return the best allowed tag sequence of every sentence, all sentences at once.

    Args:
        scores: Array (words of all sentences one after another, tags).
        lengths: Words of each sentence.
        allowed: See `allowed_transitions`.

    Returns:
        The tag of every word: array (words,).
    """
    order = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]
    sorted_lengths = lengths[order]
    penalty = np.where(allowed[:-1], 0.0, -np.inf)
    previous = np.zeros(scores.shape, dtype=np.intp)
    best = np.empty(len(scores), dtype=np.intp)
    # Sentences are sorted from long to short, so those that still run are always the first ones.
    running = [int(np.searchsorted(-sorted_lengths, -step)) for step in range(_longest(lengths))]
    totals = np.empty((len(lengths), scores.shape[1]))
    for step, active in enumerate(running):
        words = starts[:active] + step
        if step == 0:
            totals[:active] = np.where(allowed[-1], scores[words], -np.inf)
            continue
        candidates = totals[:active, :, None] + penalty
        previous[words] = candidates.argmax(axis=1)
        totals[:active] = candidates.max(axis=1) + scores[words]
    current = totals.argmax(axis=1)
    for step in reversed(range(len(running))):
        active = running[step]
        words = starts[:active] + step
        best[words] = current[:active]
        current[:active] = previous[words, current[:active]]
    return best


def _longest(lengths: NDArray[np.intp]) -> int:
    return int(lengths.max()) if len(lengths) else 0


def _scores(
    encoded: Encoded, examples: Sequence[NerExample], logits: Sequence[Logits], tags: int
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Gather the logits of the scored positions, sentence by sentence, in reading order."""
    rows: list[Logits] = []
    lengths = np.zeros(len(examples), dtype=np.intp)
    # Windows of a sentence follow one another and so do the words they score.
    for window, values in zip(encoded.windows, logits, strict=True):
        if values.shape != (len(window.positions), tags):
            raise ValueError(
                f"logits of shape {values.shape} for {len(window.positions)} positions, {tags} tags"
            )
        rows.append(values)
        lengths[window.example] += len(window.positions)
    if encoded.protocol == "word":
        wrong = [i for i, e in enumerate(examples) if len(e.words) != lengths[i]]
        if wrong:
            raise ValueError(f"example {wrong[0]} is not the one that was encoded")
    stacked = np.concatenate(rows) if rows else np.empty((0, tags))
    return stacked.astype(np.float64), lengths


def _check_finite(scores: Logits) -> None:
    if not np.isfinite(scores).all():
        raise UserError(
            "the model's outputs are not finite numbers: training diverged",
            found="NaN or infinity among the logits",
            hint="train again with a lower learning rate (--lr)",
        )
