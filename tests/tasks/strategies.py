"""Hypothesis strategies: spans of a sentence, and tags of each scheme."""

from __future__ import annotations

from hypothesis import strategies as st

from adapterkit.tasks.examples import Span

LABELS = ("X", "Y")


@st.composite
def spans_and_length(draw: st.DrawFn, max_length: int = 12) -> tuple[list[Span], int]:
    """Spans that do not overlap, some of them adjacent, in a sentence of some length."""
    length = draw(st.integers(1, max_length))
    spans: list[Span] = []
    position = 0
    while position < length:
        position += draw(st.integers(0, 3))
        end = position + draw(st.integers(1, 3))
        if end > length:
            break
        spans.append(Span(position, end, draw(st.sampled_from(LABELS))))
        position = end
    return spans, length


def write_scheme(spans: list[Span], length: int, scheme: str) -> list[str]:
    """Write tags of any scheme, straight from the schemes' definitions."""
    tags = ["O"] * length
    for index, span in enumerate(spans):
        before = spans[index - 1] if index else None
        touches = before is not None and before.end == span.start and before.label == span.label
        for word in range(span.start, span.end):
            is_first, is_last = word == span.start, word == span.end - 1
            tags[word] = f"{_prefix(scheme, is_first, is_last, touches)}-{span.label}"
    return tags


def _prefix(scheme: str, is_first: bool, is_last: bool, touches: bool) -> str:
    if scheme == "iob1":
        return "B" if is_first and touches else "I"
    if scheme == "iob2":
        return "B" if is_first else "I"
    single, end = ("S", "E") if scheme == "bioes" else ("U", "L")
    if is_first and is_last:
        return single
    if is_first:
        return "B"
    return end if is_last else "I"
