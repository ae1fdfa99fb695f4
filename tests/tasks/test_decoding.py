from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.decoding import allowed_transitions, decode_classes, decode_ner, viterbi
from adapterkit.tasks.encoding import encode
from adapterkit.tasks.examples import NerExample
from adapterkit.tasks.schemes import normalise

TAGS = ("O", "B-X", "I-X", "B-Y", "I-Y")


def is_iob2(tags: tuple[str, ...]) -> bool:
    return all(
        not tag.startswith("I-") or before in (f"B-{tag[2:]}", tag)
        for before, tag in zip(("O", *tags), tags, strict=False)
    )


def brute_force(scores: np.ndarray[Any, Any]) -> float:
    """The best total among all valid sequences, tried one by one."""
    sequences = itertools.product(range(len(TAGS)), repeat=len(scores))
    return max(
        sum(scores[word, tag] for word, tag in enumerate(sequence))
        for sequence in sequences
        if is_iob2(tuple(TAGS[tag] for tag in sequence))
    )


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_viterbi_equals_brute_force(lengths: list[int], seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(sum(lengths), len(TAGS)))
    best = viterbi(scores, np.array(lengths), allowed_transitions(TAGS))
    for end, length in zip(itertools.accumulate(lengths), lengths, strict=True):
        words = slice(end - length, end)
        tags = tuple(TAGS[tag] for tag in best[words])
        assert is_iob2(tags)
        total = scores[words][np.arange(length), best[words]].sum()
        assert total == pytest.approx(brute_force(scores[words]))


def test_viterbi_is_fast_on_a_corpus_with_one_endless_sentence() -> None:
    generator = np.random.default_rng(0)
    lengths = np.append(generator.integers(1, 60, size=4800), 3000)
    scores = generator.normal(size=(int(lengths.sum()), len(TAGS)))
    start = time.perf_counter()
    best = viterbi(scores, lengths, allowed_transitions(TAGS))
    assert time.perf_counter() - start < 2
    assert len(best) == lengths.sum()


def test_certain_logits_decode_to_their_tags_across_windows(
    tokenizer: Any, ner_task: TaskConfig
) -> None:
    tags = ("B-X", "I-X", "B-X", "O", "B-Y", "I-Y", "I-Y") * 30
    examples = [
        NerExample("1", "1", ("one", "two"), ("O", "B-Y")),
        NerExample("2", "2", tuple(f"w{i}" for i in range(210)), tags),
        NerExample("3", "3", ("three",), ("B-X",)),
    ]
    encoded = encode(ner_task, examples, tokenizer, 24)
    assert len(encoded.windows) > 20
    logits = []
    for window in encoded.windows:
        values = np.zeros((len(window.positions), len(TAGS)), dtype=np.float32)
        for row, position in enumerate(window.positions):
            values[row, window.labels[position]] = 9.0
        logits.append(values)
    assert decode_ner(encoded, examples, logits, ner_task) == [e.tags for e in examples]


@given(st.integers(0, 2**32 - 1))
def test_decoded_tags_are_always_iob2(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(scale=9, size=(30, len(TAGS)))
    best = viterbi(scores, np.array([10, 0, 20]), allowed_transitions(TAGS))
    for words in (slice(0, 10), slice(10, 30)):
        tags = [TAGS[tag] for tag in best[words]]
        assert list(normalise(tags, "iob2")) == tags


def test_protocol_nlpie_decodes_each_piece_by_itself(tokenizer: Any, ner_task: TaskConfig) -> None:
    example = NerExample("1", "1", ("ab", "c"), ("O", "O"))
    encoded = encode(ner_task, [example], tokenizer, 16, "nlpie")
    logits = np.zeros((3, len(TAGS)))
    for piece, tag in enumerate(("I-X", "B-Y", "O")):
        logits[piece, TAGS.index(tag)] = 1
    assert decode_ner(encoded, [example], [logits], ner_task) == [("I-X", "B-Y", "O")]


def test_wrong_logits_are_refused(tokenizer: Any, ner_task: TaskConfig) -> None:
    example = NerExample("1", "1", ("ab", "c"), ("O", "O"))
    encoded = encode(ner_task, [example], tokenizer, 16)
    good = np.zeros((2, len(TAGS)))
    with pytest.raises(ValueError, match="logits for 2"):
        decode_ner(encoded, [example], [good, good], ner_task)
    for bad in (good[:1], good[:, :4], good[0]):
        with pytest.raises(ValueError, match="shape"):
            decode_ner(encoded, [example], [bad], ner_task)
    other = NerExample("2", "2", ("a", "b", "c"), ("O", "O", "O"))
    with pytest.raises(ValueError, match="not the one that was encoded"):
        decode_ner(encoded, [other], [good], ner_task)
    with pytest.raises(UserError, match="diverged"):
        decode_ner(encoded, [example], [good * np.nan], ner_task)


def test_nothing_decodes_to_nothing(tokenizer: Any, ner_task: TaskConfig) -> None:
    assert decode_ner(encode(ner_task, [], tokenizer, 16), [], [], ner_task) == []


def test_classes(class_task: TaskConfig, multilabel_task: TaskConfig) -> None:
    logits = np.array([[0.1, 2.0, -1.0], [-3.0, -2.0, -1.0]])
    assert decode_classes(logits, class_task) == [("left",), ("right",)]
    assert decode_classes(logits, multilabel_task) == [("a", "b"), ()]
    with pytest.raises(UserError, match="--lr"):
        decode_classes(np.full((2, 3), np.inf), class_task)
