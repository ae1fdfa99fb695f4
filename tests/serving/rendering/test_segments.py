from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapterkit.serving.predictions import Entity
from adapterkit.serving.rendering.segments import cut


@st.composite
def texts_with_spans(draw: st.DrawFn) -> tuple[str, list[tuple[Entity, int]]]:
    """A text and spans that overlap at will."""
    text = draw(st.text(min_size=1, max_size=15))
    bounds = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))
    pairs = draw(st.lists(bounds.filter(lambda pair: pair[0] < pair[1]), max_size=6))
    return text, [
        (Entity(start, end, "X", text[start:end], 1.0), number)
        for number, (start, end) in enumerate(pairs)
    ]


@given(texts_with_spans())
def test_segments_cover_the_text_and_name_what_covers_them(drawn):
    text, spans = drawn
    segments = cut(text, spans)
    assert "".join(segment.text for segment in segments) == text
    ended = [mark for segment in segments for mark in segment.ending]
    assert sorted(ended) == list(range(len(spans)))
    for entity, number in spans:
        parts = [segment.text for segment in segments if number in segment.covering]
        assert "".join(parts) == entity.text
    position = 0
    for segment in segments:
        position += len(segment.text)
        for mark in segment.ending:
            assert spans[mark][0].end == position


def test_an_empty_text_has_no_segments():
    assert cut("", []) == []
