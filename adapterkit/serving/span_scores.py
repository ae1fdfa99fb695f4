"""How probable a span is under the decoder's own model of tag sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterkit.tasks.decoding import allowed_transitions
from adapterkit.tasks.examples import Span

_Scores = NDArray[np.float64]


def span_probabilities(
    logits: NDArray[np.floating[Any]], tag_names: Sequence[str], spans: Sequence[Span]
) -> list[float]:
    """Return the probability of each span of a sentence.

    The decoder chooses the valid IOB2 sequence of highest summed logit. The distribution that
    belongs to that choice is ``p(tags) = exp(sum of logits) / Z`` over the valid sequences. A
    span's probability is the total of the sequences in which exactly its words carry its type:
    the marginal of a linear chain by the forward-backward algorithm (Lafferty et al. 2001,
    "Conditional random fields", section 3; transitions are 0 or forbidden here).

    Args:
        logits: Array (words, tags), finite.
        tag_names: IOB2 tags in the order of the columns.
        spans: Spans of words, not empty.

    Returns:
        A probability for each span, from 0 to 1.
    """
    if not spans:
        return []
    scores = np.asarray(logits, dtype=np.float64)
    # A constant per word cancels out in p; without it nothing overflows.
    scores = scores - scores.max(axis=1, keepdims=True)
    allowed = np.where(allowed_transitions(tag_names), 0.0, -np.inf)
    steps, first = allowed[:-1], allowed[-1]
    forward = _forward(scores, steps, first)
    backward = _backward(scores, steps)
    total = np.logaddexp.reduce(forward[-1])
    index = {name: column for column, name in enumerate(tag_names)}
    probabilities = []
    for span in spans:
        begin, inside = index[f"B-{span.label}"], index[f"I-{span.label}"]
        path = forward[span.start, begin] + scores[span.start + 1 : span.end, inside].sum()
        if span.end < len(scores):
            after = scores[span.end] + backward[span.end] + steps[inside]
            after[inside] = -np.inf
            path += np.logaddexp.reduce(after)
        probabilities.append(float(min(1.0, np.exp(path - total))))
    return probabilities


def _forward(scores: _Scores, steps: _Scores, first: _Scores) -> _Scores:
    """Log-total of the beginnings that end in each tag at each word, that word included."""
    totals = np.empty_like(scores)
    totals[0] = scores[0] + first
    for word in range(1, len(scores)):
        before = totals[word - 1][:, None] + steps
        totals[word] = scores[word] + np.logaddexp.reduce(before, axis=0)
    return totals


def _backward(scores: _Scores, steps: _Scores) -> _Scores:
    """Log-total of the continuations after each tag at each word, that word left out."""
    totals = np.zeros_like(scores)
    for word in range(len(scores) - 2, -1, -1):
        after = steps + scores[word + 1] + totals[word + 1]
        totals[word] = np.logaddexp.reduce(after, axis=1)
    return totals
