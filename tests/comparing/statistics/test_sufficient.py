from __future__ import annotations

import numpy as np
import pytest

from adapterkit.comparing.records.record import Prediction
from adapterkit.comparing.statistics.sufficient import (
    document_statistics,
    gradient_of,
    score_of,
)
from adapterkit.tasks.config import TaskConfig

METRICS = {"strict_f1": 3, "micro_f1": 12, "macro_f1": 12, "accuracy": 12, "example_f1": 12}


def task(kind, **more):
    return TaskConfig(name="made", kind=kind, labels=("a", "b"), files={"test": "x"}, **more)


def prediction(document, gold, predicted):
    return Prediction("id", document, frozenset(gold), frozenset(predicted), ())


def test_mentions_are_summed_by_document():
    found = document_statistics(
        task("ner"),
        [
            prediction("one", [(0, 1, "a"), (2, 3, "b")], [(0, 1, "a"), (2, 3, "a")]),
            prediction("two", [], []),
            prediction("one", [(0, 1, "a")], []),
        ],
    )
    assert found.documents == ("one", "two")
    assert found.values.tolist() == [[1, 2, 3], [0, 0, 0]]


def test_negative_classes_are_no_items_but_count_for_accuracy():
    found = document_statistics(
        task("classification", negative_labels=("b",)),
        [prediction("one", ["b"], ["b"]), prediction("one", ["a"], ["b"])],
    )
    right, predicted, gold, *_ = found.sums
    assert (right, predicted, gold) == (0, 0, 1)
    assert score_of("accuracy", found.sums) == 0.5
    # a: never predicted; b: predicted twice, right once.
    assert score_of("macro_f1", found.sums) == pytest.approx((0 + 2 / 3) / 2)


def test_an_example_without_labels_does_not_count_by_example():
    found = document_statistics(
        task("multilabel"),
        [prediction("one", [], ["a"]), prediction("two", ["a", "b"], ["a"])],
    )
    # Precision 1 and recall 1/2 of the second one alone.
    assert score_of("example_f1", found.sums) == pytest.approx(2 / 3)
    # Pooled: 1 right, 2 predicted, 2 true.
    assert score_of("micro_f1", found.sums) == pytest.approx(0.5)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_scores_zero_and_has_no_slope(metric):
    nothing = np.zeros((2, METRICS[metric]))
    assert score_of(metric, nothing).tolist() == [0, 0]
    assert not gradient_of(metric, nothing).any()


@pytest.mark.parametrize("metric", METRICS)
def test_gradients_are_those_of_finite_differences(metric):
    sums = np.random.default_rng(0).uniform(1, 9, (4, METRICS[metric]))
    gradient = gradient_of(metric, sums)
    step = 1e-6
    each = np.eye(METRICS[metric])
    slopes = [
        (score_of(metric, sums + step * one) - score_of(metric, sums - step * one)) / (2 * step)
        for one in each
    ]
    np.testing.assert_allclose(gradient, np.stack(slopes, axis=-1), atol=1e-8)
    # Scaling all sums changes nothing, which the standard error of the bootstrap rests on.
    np.testing.assert_allclose((gradient * sums).sum(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(score_of(metric, 3 * sums), score_of(metric, sums))
