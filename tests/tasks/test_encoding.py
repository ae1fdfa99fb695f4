from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.encoding import IGNORED, encode, scored_examples
from adapterkit.tasks.examples import NerExample, TextExample

WORDS = st.lists(st.integers(0, 14), min_size=1, max_size=40)


def sentence(lengths: list[int], tags: tuple[str, ...] | None = None) -> NerExample:
    """A sentence of words with so many pieces; a control character has none."""
    words = tuple("a" * length if length else "\x02" for length in lengths)
    return NerExample("s", "d", words, tags or ("O",) * len(words))


def test_short_sentences_are_one_window(tokenizer: Any, ner_task: TaskConfig) -> None:
    example = NerExample("1", "1", ("ab", "c", "."), ("B-X", "I-X", "O"))
    encoded = encode(ner_task, [example], tokenizer, 16)
    (window,) = encoded.windows
    names = tokenizer.convert_ids_to_tokens(list(window.input_ids))
    assert names == ["[CLS]", "a", "##b", "c", ".", "[SEP]"]
    assert window.words == (0, 1, 2)
    assert window.positions == (1, 3, 4)
    assert window.labels == (IGNORED, 1, IGNORED, 2, 0, IGNORED)
    assert (encoded.targets, encoded.truncated, encoded.protocol) == ((), 0, "word")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, min_size=1, max_size=4), st.integers(4, 30))
def test_windows_score_each_word_once_and_fit(
    tokenizer: Any, ner_task: TaskConfig, sentences: list[list[int]], max_length: int
) -> None:
    examples = [sentence(lengths) for lengths in sentences]
    encoded = encode(ner_task, examples, tokenizer, max_length)
    scored: list[list[int]] = [[] for _ in examples]
    for window in encoded.windows:
        scored[window.example].extend(window.words)
        assert len(window.input_ids) <= max_length
        assert len(window.labels) == len(window.input_ids)
        labelled = [i for i, label in enumerate(window.labels) if label != IGNORED]
        assert labelled == list(window.positions)
        for word, position in zip(window.words, window.positions, strict=True):
            first = tokenizer.convert_ids_to_tokens(window.input_ids[position])
            assert first == ("a" if sentences[window.example][word] else "[UNK]")
    assert scored == [list(range(len(lengths))) for lengths in sentences]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 2), min_size=45, max_size=150))
def test_words_are_scored_where_they_have_context_on_both_sides(
    tokenizer: Any, ner_task: TaskConfig, lengths: list[int]
) -> None:
    encoded = encode(ner_task, [sentence(lengths)], tokenizer, 42)
    assert len(encoded.windows) > 1
    for window in encoded.windows:
        # Forty pieces, a quarter of them shared: the halves leave at least two to either side.
        for position in window.positions:
            assert position - 1 >= 2 or window is encoded.windows[0]
            assert len(window.input_ids) - 2 - position >= 2 or window is encoded.windows[-1]


def test_a_sentence_of_3000_words_keeps_every_mention(
    tokenizer: Any, ner_task: TaskConfig, caplog: pytest.LogCaptureFixture
) -> None:
    tags = ("B-X", "I-X", "O", "B-Y", "O", "O") * 500
    words = tuple(f"word{index}" for index in range(3000))
    example = NerExample("long", "d", words, tags)
    with caplog.at_level(logging.WARNING):
        encoded = encode(ner_task, [example], tokenizer, 128)
    assert not caplog.records
    seen = {
        word: window.labels[position]
        for window in encoded.windows
        for word, position in zip(window.words, window.positions, strict=True)
    }
    assert [seen[word] for word in range(3000)] == [ner_task.tag_names.index(tag) for tag in tags]
    assert sum(len(window.words) for window in encoded.windows) == 3000
    total = sum(len(window.input_ids) for window in encoded.windows)
    pieces = sum(map(len, words))
    assert total < pieces * 2


def test_endless_words_and_words_without_pieces_are_scored(
    tokenizer: Any, ner_task: TaskConfig
) -> None:
    words = ("a" * 90, "\x01", "b", "\u200b", "c" * 500)
    example = NerExample("1", "1", words, ("B-X", "B-Y", "O", "O", "B-X"))
    encoded = encode(ner_task, [example], tokenizer, 20)
    scored = [word for window in encoded.windows for word in window.words]
    assert scored == [0, 1, 2, 3, 4]
    # Words of more than a hundred letters are one unknown piece to BERT; the first is cut.
    assert encoded.truncated == 1


def test_protocol_nlpie_scores_every_piece(tokenizer: Any, ner_task: TaskConfig) -> None:
    example = NerExample("1", "1", ("ab", "c", "de"), ("B-X", "I-X", "O"))
    encoded = encode(ner_task, [example], tokenizer, 16, "nlpie")
    (window,) = encoded.windows
    assert window.words == (0, 0, 1, 2, 2)
    assert window.labels == (IGNORED, 1, 1, 2, 0, 0, IGNORED)
    (pieces,) = scored_examples(encoded, [example], tokenizer)
    assert pieces.words == ("a", "##b", "c", "d", "##e")
    assert pieces.tags == ("B-X", "B-X", "I-X", "O", "O")
    word_level = encode(ner_task, [example], tokenizer, 16)
    assert scored_examples(word_level, [example], tokenizer) == (example,)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WORDS, st.integers(8, 30))
def test_protocol_nlpie_scores_each_piece_once(
    tokenizer: Any, ner_task: TaskConfig, lengths: list[int], max_length: int
) -> None:
    encoded = encode(ner_task, [sentence(lengths)], tokenizer, max_length, "nlpie")
    limit = max(1, (max_length - 2) // 2)
    words = [word for window in encoded.windows for word in window.words]
    assert words == [w for w, n in enumerate(lengths) for _ in range(min(max(n, 1), limit))]


def test_texts_are_cut_at_the_end_and_counted(tokenizer: Any, multilabel_task: TaskConfig) -> None:
    examples = [
        TextExample("1", "1", "ab c", ("a", "c")),
        TextExample("2", "2", "a b c d e f g h i", ()),
    ]
    encoded = encode(multilabel_task, examples, tokenizer, 8)
    assert [len(window.input_ids) for window in encoded.windows] == [5, 8]
    assert all(w.words == w.positions == w.labels == () for w in encoded.windows)
    assert encoded.targets == ((0, 2), ())
    assert encoded.truncated == 1
    assert encoded.windows[1].input_ids[-1] == tokenizer.sep_token_id


def test_wrong_use_is_refused(
    tokenizer: Any, ner_task: TaskConfig, multilabel_task: TaskConfig
) -> None:
    with pytest.raises(ValueError, match="no room"):
        encode(ner_task, [sentence([1])], tokenizer, 3)
    with pytest.raises(TypeError, match="no TextExample"):
        encode(multilabel_task, [sentence([1])], tokenizer, 16)
    with pytest.raises(ValueError, match="fast tokenizer"):
        encode(ner_task, [sentence([1])], object(), 16)  # type: ignore[arg-type]


def test_nothing_gives_nothing(
    tokenizer: Any, ner_task: TaskConfig, multilabel_task: TaskConfig
) -> None:
    assert encode(ner_task, [], tokenizer, 16).windows == ()
    assert encode(multilabel_task, [], tokenizer, 16).windows == ()
