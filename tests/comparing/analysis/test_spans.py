from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.comparing.analysis.confusions import count_confusions
from adapterkit.comparing.analysis.documents import worst_documents
from adapterkit.comparing.analysis.spans import KINDS, Mention, count_errors, match_mentions
from adapterkit.comparing.records.record import Prediction

WORDS = ("Lithium", "caused", "severe", "renal", "failure", "and", "tremor", "in", "patients", ".")


def sentence(gold: set[Mention], predicted: set[Mention], document: str = "d") -> Prediction:
    return Prediction("s", document, frozenset(gold), frozenset(predicted), WORDS)


@pytest.mark.parametrize(
    ("gold", "predicted", "kinds"),
    [
        ({(0, 1, "C")}, {(0, 1, "C")}, ["correct"]),
        ({(3, 5, "D")}, {(2, 5, "D")}, ["boundary"]),
        ({(3, 5, "D")}, {(3, 5, "C")}, ["type"]),
        ({(3, 5, "D")}, {(4, 6, "C")}, ["boundary and type"]),
        ({(3, 5, "D")}, set(), ["missed"]),
        (set(), {(3, 5, "D")}, ["spurious"]),
        ({(3, 5, "D")}, {(5, 7, "D")}, ["missed", "spurious"]),
        # One prediction over two mentions: one has the wrong boundary, the other is missed.
        ({(2, 4, "D"), (5, 6, "D")}, {(2, 6, "D")}, ["boundary", "missed"]),
        # Two predictions in one mention: the longer one is held against it.
        ({(2, 6, "D")}, {(2, 3, "D"), (4, 6, "D")}, ["boundary", "spurious"]),
        # The same words come before the same type.
        ({(3, 5, "D")}, {(3, 5, "C"), (2, 5, "D")}, ["spurious", "type"]),
        # An exact match is not broken up for an overlapping one.
        ({(2, 5, "D"), (3, 5, "D")}, {(3, 5, "D")}, ["missed", "correct"]),
    ],
)
def test_kinds_of_error(gold: set[Mention], predicted: set[Mention], kinds: list[str]) -> None:
    assert [match.kind for match in match_mentions(gold, predicted)] == kinds


MENTIONS = st.frozensets(
    st.tuples(st.integers(0, 8), st.integers(1, 4), st.sampled_from("CDG")).map(
        lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[2])
    ),
    max_size=6,
)


@given(MENTIONS, MENTIONS)
def test_every_mention_is_in_one_match(
    gold: frozenset[Mention], predicted: frozenset[Mention]
) -> None:
    matches = match_mentions(gold, predicted)
    assert Counter(m.gold for m in matches if m.gold) == Counter(gold)
    assert Counter(m.predicted for m in matches if m.predicted) == Counter(predicted)
    assert {m.gold for m in matches if m.kind == "correct"} == gold & predicted
    missed = [m.gold for m in matches if m.kind == "missed" and m.gold]
    spurious = [m.predicted for m in matches if m.kind == "spurious" and m.predicted]
    # What touches is matched, so what is left over touches nothing that is left over.
    assert not [
        (one, other)
        for one, other in product(missed, spurious)
        if one[0] < other[1] and other[0] < one[1]
    ]
    for match in matches:
        if match.gold and match.predicted:
            same_words = match.gold[:2] == match.predicted[:2]
            same_type = match.gold[2] == match.predicted[2]
            kind = {
                (True, True): "correct",
                (True, False): "type",
                (False, True): "boundary",
                (False, False): "boundary and type",
            }[same_words, same_type]
            assert match.kind == kind


@given(MENTIONS, MENTIONS)
def test_the_other_way_round_errors_are_mirrored(
    gold: frozenset[Mention], predicted: frozenset[Mention]
) -> None:
    there = Counter(m.kind for m in match_mentions(gold, predicted))
    back = Counter(m.kind for m in match_mentions(predicted, gold))
    assert there["missed"] - there["spurious"] == back["spurious"] - back["missed"]
    assert there["correct"] == back["correct"]
    assert there["type"] == back["type"]


def test_errors_are_counted_over_sentences() -> None:
    made = [
        sentence({(0, 1, "C"), (3, 5, "D")}, {(0, 1, "C"), (2, 5, "D")}),
        sentence({(6, 7, "D")}, set()),
    ]
    assert count_errors(made) == {"correct": 1, "boundary": 1, "missed": 1}
    assert set(count_errors(made)) <= set(KINDS)


def test_confusions_of_mentions() -> None:
    made = [
        sentence({(0, 1, "C"), (3, 5, "D"), (6, 7, "D")}, {(0, 1, "D"), (3, 4, "D"), (8, 9, "C")})
    ]
    assert count_confusions(made, "ner") == {
        ("C", "D"): 1,
        ("D", "D"): 1,
        ("D", None): 1,
        (None, "C"): 1,
    }


def test_confusions_of_classes() -> None:
    one = Prediction("1", "1", frozenset({"a"}), frozenset({"b"}), ())
    assert count_confusions([one, one], "classification") == {("a", "b"): 2}
    several = Prediction("1", "1", frozenset({"a", "b"}), frozenset({"b", "c"}), ())
    nothing = Prediction("2", "2", frozenset(), frozenset(), ())
    assert count_confusions([several, nothing], "multilabel") == {
        ("a", None): 1,
        ("b", "b"): 1,
        (None, "c"): 1,
    }


def test_worst_documents() -> None:
    right, wrong = {(0, 1, "C")}, {(3, 5, "D")}
    made = [
        sentence(right, right, "good"),
        sentence(right, wrong, "worst"),
        sentence(right, right, "worst"),
        sentence(right, set(), "bad"),
        sentence(right, right, "middling"),
        sentence(set(), wrong, "middling"),
    ]
    found = worst_documents(made, 5)
    assert [(each.document, each.errors, each.correct) for each in found] == [
        ("worst", 2, 1),
        ("bad", 1, 0),
        ("middling", 1, 1),
    ]
    assert [len(each.wrong_sentences) for each in found] == [1, 1, 1]
    assert len(worst_documents(made, 2)) == 2
