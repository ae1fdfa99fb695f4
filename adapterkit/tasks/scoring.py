"""Scoring predictions as the benchmarks define it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.encoding import Protocol
from adapterkit.tasks.examples import Example, NerExample, TextExample, all_of
from adapterkit.tasks.schemes import spans_from_tags


def score(
    task: TaskConfig,
    examples: Sequence[Example],
    predictions: Sequence[tuple[str, ...]],
    protocol: Protocol = "word",
) -> dict[str, Any]:
    """Score predictions against examples.

    NER, protocol ``word``: strict entity precision, recall and F1 (micro), ``macro_f1`` and
    ``per_type``, and as a labelled extra ``lenient_f1``, conlleval's. Protocol ``nlpie``: the
    lenient figures over pieces, for reproducing nlpie's alone; pass what
    `encoding.scored_examples` returns.

    Classification: accuracy, macro-F1 and micro-F1 over the positive classes. Multi-label: micro-,
    macro- and example-based F1.

    Args:
        task: The task; its ``metric`` names the figure that is the ``score``.
        examples: The examples.
        predictions: For each example its IOB2 tags, or its labels.
        protocol: How NER predictions were made, see `encoding.encode`.

    Returns:
        Plain numbers and dictionaries, with ``score``, ``metric``, ``protocol`` (NER) and
        ``per_type`` always there.

    Raises:
        ValueError: If predictions and examples do not match, or there are none.
    """
    _check_matching(examples, predictions)
    if task.kind == "ner":
        sentences = all_of(NerExample, examples)
        return _score_entities(task, sentences, predictions, protocol)
    texts = all_of(TextExample, examples)
    if task.kind == "multilabel":
        result = _score_label_sets(task, texts, predictions)
    else:
        result = _score_classes(task, texts, predictions)
    return {**result, "metric": task.metric, "score": result[task.metric]}


def epoch_scores(
    task: TaskConfig,
    examples: Sequence[Example],
    predictions: Sequence[tuple[str, ...]],
    protocol: Protocol = "word",
) -> dict[str, float]:
    """The figures of `score` that an epoch is judged by, sooner.

    Strict entity scores come from sets of mentions, the same to the last bit in less than a
    twentieth of seqeval's time; all else is what `score` says, without ``per_type``.

    Args:
        task: The task.
        examples: The examples.
        predictions: For each example its IOB2 tags, or its labels.
        protocol: How NER predictions were made.

    Returns:
        ``score`` and the figures beside it; of strict entity scores ``precision``, ``recall`` and
        ``f1``.

    Raises:
        ValueError: If predictions and examples do not match, or there are none.
    """
    _check_matching(examples, predictions)
    if task.kind != "ner" or protocol != "word":
        measures = score(task, examples, predictions, protocol)
        return {name: value for name, value in measures.items() if isinstance(value, (int, float))}
    gold, given = (
        {(number, span) for number, tags in enumerate(rows) for span in spans_from_tags(tags)}
        for rows in ([example.tags for example in all_of(NerExample, examples)], predictions)
    )
    right = len(gold & given)
    precision = right / len(given) if given else 0.0
    recall = right / len(gold) if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "score": f1}


def _check_matching(examples: Sequence[Example], predictions: Sequence[tuple[str, ...]]) -> None:
    if not examples or len(examples) != len(predictions):
        raise ValueError(f"{len(predictions)} predictions for {len(examples)} examples")
    for example, tags in zip(examples, predictions, strict=True):
        if isinstance(example, NerExample) and len(example.tags) != len(tags):
            raise ValueError(f"{example.id}: {len(tags)} tags for {len(example.tags)} words")


def _score_entities(
    task: TaskConfig,
    examples: Sequence[NerExample],
    predictions: Sequence[tuple[str, ...]],
    protocol: Protocol,
) -> dict[str, Any]:
    from adapterkit.tasks.metrics.entities import EntityF1

    gold = [example.tags for example in examples]
    strict = protocol == "word"
    result = _compute(EntityF1, predictions, gold, strict=strict)
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    found = result["per_type"]
    result["per_type"] = {label: found.get(label, dict(nothing)) for label in task.labels}
    if strict:
        result["lenient_f1"] = _compute(EntityF1, predictions, gold, strict=False)["f1"]
    metric = task.metric if strict else "lenient_piece_f1"
    return {**result, "metric": metric, "protocol": protocol, "score": result["f1"]}


def _score_label_sets(
    task: TaskConfig, examples: Sequence[TextExample], predictions: Sequence[tuple[str, ...]]
) -> dict[str, Any]:
    from adapterkit.tasks.metrics.multi_label import MultiLabelF1

    given = [_indicators(task, labels) for labels in predictions]
    gold = [_indicators(task, example.labels) for example in examples]
    return _compute(MultiLabelF1, given, gold, labels=task.labels)


def _score_classes(
    task: TaskConfig, examples: Sequence[TextExample], predictions: Sequence[tuple[str, ...]]
) -> dict[str, Any]:
    from adapterkit.tasks.metrics.single_label import SingleLabelF1

    numbers = {label: index for index, label in enumerate(task.labels)}
    given = [numbers[label] for (label,) in predictions]
    gold = [numbers[label] for example in examples for label in example.labels]
    return _compute(SingleLabelF1, given, gold, labels=task.labels, negative=task.negative_labels)


def _indicators(task: TaskConfig, labels: Sequence[str]) -> list[int]:
    if unknown := set(labels) - set(task.labels):
        raise ValueError(f"task {task.name} has no label {sorted(unknown)[0]!r}")
    return [int(label in labels) for label in task.labels]


def _compute(
    metric: type[Any], predictions: Sequence[Any], references: Sequence[Any], **options: Any
) -> dict[str, Any]:
    """Run an evaluate.Metric in memory; the folder it insists on is a temporary one."""
    with tempfile.TemporaryDirectory(prefix="adapterkit-metric-") as folder:
        module = metric(keep_in_memory=True, cache_dir=folder, seed=0)
        result: dict[str, Any] = module.compute(
            predictions=predictions, references=references, **options
        )
    return result
