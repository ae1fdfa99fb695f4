"""Scores against code that shares nothing with ours: set intersection, and scikit-learn.

Each shipped task is scored on ten random sets of predictions, by the metrics of `tasks.scoring` and
from the sums over documents that comparisons are made of.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from adapterkit.comparing.records.record import Prediction
from adapterkit.comparing.statistics.sufficient import document_statistics, score_of
from adapterkit.tasks.config import METRICS
from adapterkit.tasks.examples import NerExample, TextExample
from adapterkit.tasks.registry import load_task, task_names
from adapterkit.tasks.schemes import spans_from_tags
from adapterkit.tasks.scoring import score

SETS = 10
EXAMPLES = 60
CLOSE = pytest.approx


def tasks_of(kind):
    found = [name for name in task_names() if load_task(name).kind == kind]
    # No kind may go untested because its tasks were renamed.
    return found or [pytest.param(kind, marks=pytest.mark.skip(reason=f"no {kind} task"))]


def sums(task, predictions):
    return document_statistics(task, predictions).sums


def random_tags(chance, labels, length):
    tags, before = [], "O"
    for _ in range(length):
        allowed = ["O", *(f"B-{label}" for label in labels)]
        if before != "O":
            allowed += [f"I-{before[2:]}"] * 2
        before = chance.choice(allowed)
        tags.append(before)
    return tuple(tags)


def mention_sets(name, number):
    """Gold and predicted tags; about half of the predicted sentences are right."""
    chance = random.Random(f"{name} {number}")
    task = load_task(name)
    gold, predicted = [], []
    for _ in range(EXAMPLES):
        tags = random_tags(chance, task.labels, chance.randint(1, 25))
        gold.append(tags)
        other = random_tags(chance, task.labels, len(tags))
        cut = chance.randint(0, len(tags))
        mixed = (*tags[:cut], *other[cut:])
        keeps_rules = cut == len(tags) or not mixed[cut].startswith("I-")
        predicted.append(mixed if keeps_rules else other)
    return task, gold, predicted


def set_intersection_f1(gold, predicted):
    """Strict F1 over (document, sentence, start, end, type), read off the tags by hand."""

    def mentions(sentences):
        found = set()
        for number, tags in enumerate(sentences):
            for start, tag in enumerate(tags):
                if tag.startswith("B-"):
                    end = start + 1
                    while end < len(tags) and tags[end] == "I-" + tag[2:]:
                        end += 1
                    found.add((number // 3, number, start, end, tag[2:]))
        return found

    true, given = mentions(gold), mentions(predicted)
    both = len(true & given)
    return 2 * both / (len(true) + len(given)) if true or given else 0.0


@pytest.mark.parametrize("name", tasks_of("ner"))
def test_strict_f1_is_that_of_sets(name):
    found = []
    for number in range(SETS):
        task, gold, predicted = mention_sets(name, number)
        examples = [
            NerExample(str(i), str(i // 3), tuple(map(str, range(len(tags)))), tags)
            for i, tags in enumerate(gold)
        ]
        ours = score(task, examples, predicted)["score"]
        theirs = set_intersection_f1(gold, predicted)
        predictions = [
            Prediction(
                str(i),
                str(i // 3),
                frozenset((s.start, s.end, s.label) for s in spans_from_tags(tags)),
                frozenset((s.start, s.end, s.label) for s in spans_from_tags(predicted[i])),
                (),
            )
            for i, tags in enumerate(gold)
        ]
        assert ours == CLOSE(theirs, abs=1e-12)
        assert float(score_of("strict_f1", sums(task, predictions))) == CLOSE(theirs, abs=1e-12)
        found.append(theirs)
    assert 0 < min(found) < max(found) < 1


def label_sets(name, number):
    """Gold and predicted labels; about two thirds of the predictions are right."""
    chance = random.Random(f"{name} {number}")
    task = load_task(name)
    several = task.kind == "multilabel"

    def draw():
        if not several:
            return (chance.choice(task.labels),)
        return tuple(label for label in task.labels if chance.random() < 0.2)

    gold = [draw() for _ in range(EXAMPLES)]
    predicted = [labels if chance.random() < 0.6 else draw() for labels in gold]
    return task, gold, predicted


def by_scikit_learn(task, gold, predicted):
    from sklearn import metrics

    if task.kind == "classification":
        true, given = [label for (label,) in gold], [label for (label,) in predicted]
        positive = [label for label in task.labels if label not in task.negative_labels]
        options = {"zero_division": 0}
        return {
            "accuracy": metrics.accuracy_score(true, given),
            "macro_f1": metrics.f1_score(
                true, given, labels=task.labels, average="macro", **options
            ),
            "micro_f1": metrics.f1_score(true, given, labels=positive, average="micro", **options),
        }
    rows = [
        np.array([[label in labels for label in task.labels] for labels in which], dtype=int)
        for which in (gold, predicted)
    ]
    # BLUE leaves out examples without a label, and takes F1 of the mean precision and recall.
    labelled = rows[0].any(axis=1)
    precision, recall, _, _ = metrics.precision_recall_fscore_support(
        rows[0][labelled], rows[1][labelled], average="samples", zero_division=0
    )
    return {
        "micro_f1": metrics.f1_score(*rows, average="micro", zero_division=0),
        "macro_f1": metrics.f1_score(*rows, average="macro", zero_division=0),
        "example_f1": 2 * precision * recall / (precision + recall),
    }


@pytest.mark.parametrize("name", [*tasks_of("classification"), *tasks_of("multilabel")])
def test_classification_is_that_of_scikit_learn(name):
    for number in range(SETS):
        task, gold, predicted = label_sets(name, number)
        examples = [TextExample(str(i), str(i // 3), "text", g) for i, g in enumerate(gold)]
        ours = score(task, examples, predicted)
        predictions = [
            Prediction(str(i), str(i // 3), frozenset(g), frozenset(predicted[i]), ())
            for i, g in enumerate(gold)
        ]
        for metric, theirs in by_scikit_learn(task, gold, predicted).items():
            assert 0 < theirs < 1
            assert ours[metric] == CLOSE(theirs, abs=1e-12)
            assert float(score_of(metric, sums(task, predictions))) == CLOSE(theirs, abs=1e-12)
        assert ours["score"] == ours[task.metric]
        assert task.metric in METRICS[task.kind]
