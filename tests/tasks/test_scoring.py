from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.examples import NerExample, TextExample
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.schemes import spans_from_tags
from adapterkit.tasks.scoring import epoch_scores, score
from adapterkit.tasks.sources import load_data

TAGS = ("O", "B-X", "I-X", "B-Y", "I-Y")
NER = TaskConfig.model_validate(
    {"name": "toy", "kind": "ner", "labels": ["X", "Y"], "files": {"train": "train.tsv"}}
)


def sentences(*tags: tuple[str, ...]) -> list[NerExample]:
    return [NerExample(str(i), str(i), tuple("w" * len(row)), row) for i, row in enumerate(tags)]


def by_set_intersection(
    gold: list[tuple[str, ...]], given: list[tuple[str, ...]], label: str | None = None
) -> tuple[float, float, float]:
    """Strict scores from sets of (sentence, start, end, type), without seqeval."""
    sets = [
        {
            (sentence, span.start, span.end, span.label)
            for sentence, tags in enumerate(rows)
            for span in spans_from_tags(tags)
            if label in (None, span.label)
        }
        for rows in (gold, given)
    ]
    right = len(sets[0] & sets[1])
    precision = right / len(sets[1]) if sets[1] else 0.0
    recall = right / len(sets[0]) if sets[0] else 0.0
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


def valid_tags(generator: random.Random, length: int) -> tuple[str, ...]:
    tags: list[str] = []
    for _ in range(length):
        before = tags[-1] if tags else "O"
        inside = [] if before == "O" else [f"I-{before[2:]}"]
        tags.append(generator.choice(["O", "B-X", "B-Y", *inside]))
    return tuple(tags)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_strict_f1_equals_set_intersection(seed: int, only_valid: bool) -> None:
    generator = random.Random(seed)
    gold = [valid_tags(generator, generator.randint(1, 9)) for _ in range(6)]
    given_tags = [
        valid_tags(generator, len(tags))
        if only_valid
        else tuple(generator.choice(TAGS) for _ in tags)
        for tags in gold
    ]
    result = score(NER, sentences(*gold), given_tags)
    found = (result["precision"], result["recall"], result["f1"])
    assert found == pytest.approx(by_set_intersection(gold, given_tags))
    for label, row in result["per_type"].items():
        expected = by_set_intersection(gold, given_tags, label)
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx(expected)
        assert row["support"] == sum(s.label == label for t in gold for s in spans_from_tags(t))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_an_epoch_is_judged_by_what_seqeval_says(seed: int) -> None:
    generator = random.Random(seed)
    gold = [valid_tags(generator, generator.randint(1, 9)) for _ in range(generator.randint(1, 9))]
    predicted = [tuple(generator.choice(TAGS) for _ in tags) for tags in gold]
    found = epoch_scores(NER, sentences(*gold), predicted)
    whole = score(NER, sentences(*gold), predicted)
    assert found == {name: whole[name] for name in ("precision", "recall", "f1", "score")}


@pytest.mark.parametrize("tags", [("O", "O"), ("B-X", "O")])
def test_an_epoch_without_mentions_or_without_predictions_is_worth_nothing(
    tags: tuple[str, ...],
) -> None:
    found = epoch_scores(NER, sentences(tags), [("O", "O")])
    assert found == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "score": 0.0}


def test_other_epochs_are_judged_by_the_whole_score() -> None:
    assert epoch_scores(NER, sentences(("B-X", "I-X")), [("I-X", "I-X")], "nlpie")["score"] == 1.0
    task = TaskConfig.model_validate(
        {"name": "toy", "kind": "multilabel", "labels": ["a", "b"], "files": {"train": "t.jsonl"}}
    )
    texts = [TextExample("0", "0", "text", ("a",)), TextExample("1", "1", "text", ())]
    predictions = [("a", "b"), ()]
    whole = score(task, texts, predictions)
    found = epoch_scores(task, texts, predictions)
    assert found == {name: value for name, value in whole.items() if name in found}
    assert found["score"] == whole["score"] < 1.0
    assert "per_type" not in found


def test_lenient_and_strict_part_ways_at_invalid_tags() -> None:
    result = score(NER, sentences(("B-X", "I-X")), [("I-X", "I-X")])
    assert result["f1"] == result["score"] == 0.0
    assert result["lenient_f1"] == 1.0
    assert (result["metric"], result["protocol"]) == ("strict_f1", "word")


def test_protocol_nlpie_is_lenient_and_says_so() -> None:
    result = score(NER, sentences(("B-X", "I-X")), [("I-X", "I-X")], protocol="nlpie")
    assert result["score"] == 1.0
    assert (result["metric"], result["protocol"]) == ("lenient_piece_f1", "nlpie")
    assert "lenient_f1" not in result
    # A word in three pieces is three mentions under this protocol.
    pieces = sentences(("B-X", "B-X", "B-X"))
    assert score(NER, pieces, [("B-X",) * 3], protocol="nlpie")["per_type"]["X"]["support"] == 3


def test_no_mention_anywhere_scores_zero() -> None:
    result = score(NER, sentences(("O", "O")), [("O", "O")])
    assert result["score"] == 0.0
    assert result["per_type"]["Y"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


def test_figures_are_plain_numbers() -> None:
    import json

    result = score(NER, sentences(("B-X", "O")), [("B-X", "O")])
    assert json.loads(json.dumps(result)) == result
    assert result["score"] == 1.0


@pytest.mark.parametrize("judge", [score, epoch_scores])
def test_mismatches_are_refused(judge: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="1 tags for 2 words"):
        judge(NER, sentences(("O", "O")), [("O",)])
    with pytest.raises(ValueError, match="0 predictions for 1"):
        judge(NER, sentences(("O", "O")), [])
    with pytest.raises(ValueError, match="0 predictions for 0"):
        judge(NER, [], [])


def texts(*labels: tuple[str, ...]) -> list[TextExample]:
    return [TextExample(str(i), str(i), "text", row) for i, row in enumerate(labels)]


def test_multilabel_figures_by_hand(multilabel_task: TaskConfig) -> None:
    examples = texts(("a", "b"), ("c",), (), ("a",))
    predictions = [("a",), ("b", "c"), ("c",), ()]
    result = score(multilabel_task, examples, predictions)
    # Of 4 labels given 2 are right, of 4 true ones 2 are found.
    assert result["micro_precision"] == result["micro_recall"] == result["micro_f1"] == 0.5
    assert result["score"] == 0.5
    # Labelled examples: precision 1, 1/2, 0; recall 1/2, 1, 0. The third has no label.
    assert result["example_precision"] == pytest.approx(0.5)
    assert result["example_recall"] == pytest.approx(0.5)
    assert result["example_f1"] == pytest.approx(0.5)
    assert result["macro_f1"] == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    assert result["exact_match"] == 0.0
    assert result["per_type"]["c"] == {
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "support": 1,
    }
    other = multilabel_task.model_copy(update={"metric": "example_f1"})
    assert score(other, examples, predictions)["metric"] == "example_f1"


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_multilabel_micro_f1_equals_scikit_learn(seed: int) -> None:
    from sklearn.metrics import f1_score
    from sklearn.preprocessing import MultiLabelBinarizer

    task = load_task("hoc")
    generator = random.Random(seed)
    rows = [tuple(generator.sample(task.labels, generator.randint(0, 3))) for _ in range(40)]
    gold, given_labels = rows[:20], rows[20:]
    result = score(task, texts(*gold), given_labels)
    binarizer = MultiLabelBinarizer(classes=list(task.labels))
    matrices = binarizer.fit_transform(gold), binarizer.fit_transform(given_labels)
    for average in ("micro", "macro"):
        expected = f1_score(*matrices, average=average, zero_division=0)
        assert result[f"{average}_f1"] == pytest.approx(expected)


def test_single_label_figures_by_hand(class_task: TaskConfig) -> None:
    examples = texts(("none",), ("none",), ("left",), ("right",), ("left",))
    predictions = [("none",), ("left",), ("left",), ("right",), ("none",)]
    result = score(class_task, examples, predictions)
    assert result["accuracy"] == result["score"] == pytest.approx(3 / 5)
    # Positive classes: given left, left, right; true left, right, left; two are right.
    assert result["micro_f1"] == pytest.approx(2 / 3)
    assert result["macro_f1"] == pytest.approx((0.5 + 0.5 + 1.0) / 3)
    assert list(result["per_type"]) == ["none", "left", "right"]
    plain = class_task.model_copy(update={"negative_labels": ()})
    assert score(plain, examples, predictions)["micro_f1"] == pytest.approx(3 / 5)


def test_unknown_labels_are_refused(multilabel_task: TaskConfig) -> None:
    with pytest.raises(ValueError, match="no label 'z'"):
        score(multilabel_task, texts(("a",)), [("z",)])


def test_scoring_leaves_nothing_in_the_caches() -> None:
    import evaluate

    score(NER, sentences(("B-X", "O")), [("B-X", "O")])
    assert not Path(evaluate.config.HF_METRICS_CACHE).exists()


def test_gold_tags_of_a_real_corpus_score_one(corpora: Path) -> None:
    task = load_task("ncbi_disease")
    examples = load_data(task, splits=["test"]).splits["test"]
    result = score(task, examples, [example.tags for example in examples])
    assert result["score"] == 1.0
    assert result["per_type"]["Disease"]["support"] == 960


def test_where_nothing_is_marked_nothing_is_nan(ner_task: TaskConfig) -> None:
    examples = [NerExample("1", "1", ("a", "b"), ("O", "O"))]
    result = score(ner_task, examples, [("O", "O")])
    assert result["macro_f1"] == result["f1"] == result["lenient_f1"] == 0.0
    json.dumps(result, allow_nan=False)
