from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterkit.serving.span_scores import span_probabilities
from adapterkit.tasks.examples import Span
from adapterkit.tasks.schemes import spans_from_tags

TAGS = ("O", "B-X", "I-X", "B-Y", "I-Y")


def all_span_probabilities(logits: np.ndarray) -> dict[Span, float]:
    """Every span's probability by writing out all valid tag sequences."""
    totals: dict[Span, float] = {}
    normaliser = 0.0
    for sequence in itertools.product(range(len(TAGS)), repeat=len(logits)):
        tags = [TAGS[tag] for tag in sequence]
        previous = ["O", *tags]
        if any(
            tag[0] == "I" and before not in (f"B-{tag[2:]}", tag)
            for before, tag in zip(previous, tags, strict=False)
        ):
            continue
        weight = float(np.exp(sum(row[tag] for row, tag in zip(logits, sequence, strict=True))))
        normaliser += weight
        for span in spans_from_tags(tags):
            totals[span] = totals.get(span, 0.0) + weight
    return {span: weight / normaliser for span, weight in totals.items()}


@settings(max_examples=25, deadline=None)
@given(words=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_probabilities_are_those_of_all_sequences_written_out(words, seed):
    logits = np.random.default_rng(seed).normal(scale=2.0, size=(words, len(TAGS)))
    expected = all_span_probabilities(logits)
    assert len(expected) == words * (words + 1)
    found = span_probabilities(logits, TAGS, list(expected))
    assert found == pytest.approx(list(expected.values()), abs=1e-12)


def test_extreme_logits_give_probabilities():
    logits = np.full((3, len(TAGS)), -1e4)
    logits[0, 1] = logits[1, 2] = logits[2, 0] = 1e4
    right, wrong = span_probabilities(logits, TAGS, [Span(0, 2, "X"), Span(0, 1, "X")])
    assert right == pytest.approx(1.0)
    assert wrong == pytest.approx(0.0)


def test_no_spans_need_no_logits():
    assert span_probabilities(np.empty((0, len(TAGS))), TAGS, []) == []
