from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.tasks.examples import Span
from adapterkit.tasks.schemes import (
    SCHEMES,
    SchemeError,
    detect,
    normalise,
    spans_from_tags,
    split_tag,
    tags_from_spans,
)

from .strategies import spans_and_length, write_scheme


@given(spans_and_length())
def test_spans_and_tags_round_trip(sentence: tuple[list[Span], int]) -> None:
    spans, length = sentence
    tags = tags_from_spans(spans, length)
    assert len(tags) == length
    assert spans_from_tags(tags) == spans


@given(spans_and_length(), st.sampled_from(SCHEMES))
def test_every_scheme_normalises_to_the_same_iob2(
    sentence: tuple[list[Span], int], scheme: str
) -> None:
    spans, length = sentence
    written = write_scheme(spans, length, scheme)
    assert normalise(written, scheme) == tags_from_spans(spans, length)


@given(st.lists(spans_and_length(), min_size=1, max_size=8), st.sampled_from(SCHEMES))
def test_detected_scheme_reads_a_file_as_its_own_scheme_does(
    sentences: list[tuple[list[Span], int]], scheme: str
) -> None:
    written = [write_scheme(spans, length, scheme) for spans, length in sentences]
    detected = detect(written)
    read = [normalise(tags, detected) for tags in written]
    assert read == [tags_from_spans(spans, length) for spans, length in sentences]


@given(st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), max_size=12))
def test_spans_are_read_as_seqeval_does_in_strict_mode(tags: list[str]) -> None:
    from seqeval.scheme import IOB2, Entities

    (entities,) = Entities([tags], IOB2).entities
    assert spans_from_tags(tags) == [Span(e.start, e.end, e.tag) for e in entities]


@pytest.mark.parametrize(
    ("scheme", "tags", "index"),
    [
        ("iob2", ["I-X"], 0),
        ("iob2", ["O", "B-X", "I-Y"], 2),
        ("iob2", ["B-X", "O", "I-X"], 2),
        ("iob1", ["B-X"], 0),
        ("iob1", ["I-X", "B-Y"], 1),
        ("iob1", ["I-X", "O", "B-X"], 2),
        ("bioes", ["B-X", "O"], 1),
        ("bioes", ["B-X", "S-X"], 1),
        ("bioes", ["B-X", "I-Y", "E-Y"], 1),
        ("bioes", ["E-X"], 0),
        ("bioes", ["O", "I-X", "E-X"], 1),
        ("bioes", ["O", "B-X"], 1),
        ("bioes", ["S-X", "E-X"], 1),
        ("bilou", ["B-X", "U-X"], 1),
        ("bilou", ["B-X", "I-X"], 1),
        ("bilou", ["S-X"], 0),
        ("iob2", ["B-X", "E-X"], 1),
        ("iob2", ["B"], 0),
        ("iob2", ["X"], 0),
        ("iob2", [""], 0),
    ],
)
def test_impossible_tags_are_refused_where_they_stand(
    scheme: str, tags: list[str], index: int
) -> None:
    with pytest.raises(SchemeError) as caught:
        normalise(tags, scheme)
    assert caught.value.index == index


def test_detection_prefers_the_scheme_that_is_broken_less_often() -> None:
    good = [["B-X", "I-X", "O"], ["O", "B-Y"]]
    assert detect([*good, ["O", "I-X"]]) == "iob2"
    assert detect([["I-X"], ["I-Y", "B-Y"], ["B-X"]]) == "iob1"


def test_labels_may_hold_hyphens() -> None:
    assert split_tag("B-cell-line") == ("B", "cell-line")
    assert spans_from_tags(["B-cell-line", "I-cell-line"]) == [Span(0, 2, "cell-line")]


@pytest.mark.parametrize(
    "spans", [[Span(0, 0, "X")], [Span(1, 3, "X")], [Span(0, 2, "X"), Span(1, 2, "Y")]]
)
def test_spans_that_cannot_be_written_are_refused(spans: list[Span]) -> None:
    with pytest.raises(ValueError, match="Span"):
        tags_from_spans(spans, 2)
