"""Tagging schemes: reading IOB1, IOB2, BIOES and BILOU, writing IOB2, tags and spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from adapterkit.tasks.examples import Span

Scheme = Literal["iob1", "iob2", "bioes", "bilou"]

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

# BILOU is BIOES with other letters: Last for End, Unit for Single.
_ROLES: dict[Scheme, dict[str, str]] = {
    "iob1": {"B": "B", "I": "I"},
    "iob2": {"B": "B", "I": "I"},
    "bioes": {"B": "B", "I": "I", "E": "E", "S": "S"},
    "bilou": {"B": "B", "I": "I", "L": "E", "U": "S"},
}


class SchemeError(ValueError):
    """A tag that its scheme does not allow where it stands.

    Attributes:
        index: Position of the tag in its sentence.
        reason: What is wrong with it.
    """

    def __init__(self, index: int, reason: str) -> None:
        self.index = index
        self.reason = reason
        super().__init__(f"tag {index}: {reason}")


def split_tag(tag: str) -> tuple[str, str]:
    """Return prefix and label of a tag; the label of ``O`` is empty.

    Raises:
        ValueError: If the tag is neither ``O`` nor ``PREFIX-LABEL``.
    """
    if tag == "O":
        return "O", ""
    prefix, hyphen, label = tag.partition("-")
    if len(prefix) != 1 or not hyphen or not label:
        raise ValueError(f"{tag!r} is neither O nor PREFIX-LABEL")
    return prefix, label


def detect(sentences: Iterable[Sequence[str]]) -> Scheme:
    """Name the scheme the sentences of one file are tagged in.

    E- or S- tags mean BIOES, L- or U- tags BILOU. Otherwise the file is IOB2 or IOB1: the one it
    obeys throughout (IOB2 where both do), or where it obeys neither the one it breaks less often.
    """
    tagged = [tags for tags in sentences if any(tag != "O" for tag in tags)]
    prefixes = {tag[0] for tags in tagged for tag in tags if tag != "O" and tag}
    if prefixes & {"E", "S"}:
        return "bioes"
    if prefixes & {"L", "U"}:
        return "bilou"
    broken = {scheme: sum(not _obeys(tags, scheme) for tags in tagged) for scheme in SCHEMES[:2]}
    return "iob2" if broken["iob2"] <= broken["iob1"] else "iob1"


def normalise(tags: Sequence[str], scheme: Scheme | Literal["auto"] = "auto") -> tuple[str, ...]:
    """Return the tags of one sentence in IOB2.

    Args:
        tags: Tags in ``scheme``.
        scheme: Name of the scheme; ``auto`` detects it from this sentence alone, so name it (see
            `detect`) where a whole file can be looked at.

    Raises:
        SchemeError: If a tag is impossible where it stands.
    """
    known = detect([tags]) if scheme == "auto" else scheme
    return tags_from_spans(_read_spans(tags, known), len(tags))


def spans_from_tags(tags: Sequence[str]) -> list[Span]:
    """Return the mentions in IOB2 tags, read strictly.

    A mention begins at ``B-`` alone; an ``I-`` that continues nothing belongs to no mention. This
    is how seqeval reads them with ``mode="strict", scheme=IOB2``.
    """
    spans: list[Span] = []
    start, label = -1, ""
    for index, tag in enumerate(tags):
        if start >= 0 and tag != f"I-{label}":
            spans.append(Span(start, index, label))
            start = -1
        if tag.startswith("B-"):
            start, label = index, tag[2:]
    if start >= 0:
        spans.append(Span(start, len(tags), label))
    return spans


def tags_from_spans(spans: Iterable[Span], length: int) -> tuple[str, ...]:
    """Return the IOB2 tags of a sentence of ``length`` words that holds ``spans``.

    Raises:
        ValueError: If a span is empty, overlaps another or leaves the sentence.
    """
    tags = ["O"] * length
    for span in spans:
        if not 0 <= span.start < span.end <= length:
            raise ValueError(f"{span} does not fit a sentence of {length} words")
        if any(tag != "O" for tag in tags[span.start : span.end]):
            raise ValueError(f"{span} overlaps another span")
        tags[span.start : span.end] = [f"I-{span.label}"] * (span.end - span.start)
        tags[span.start] = f"B-{span.label}"
    return tuple(tags)


def _obeys(tags: Sequence[str], scheme: Scheme) -> bool:
    try:
        _read_spans(tags, scheme)
    except SchemeError:
        return False
    return True


def _read_spans(tags: Sequence[str], scheme: Scheme) -> list[Span]:
    """Read spans of any scheme; raise SchemeError at the first impossible tag."""
    roles = _ROLES[scheme]
    must_close = "E" in roles.values()
    spans: list[Span] = []
    start, open_label = -1, ""
    for index, tag in enumerate(tags):
        role, label = _role(tag, index, roles, scheme)
        inside = start >= 0 and label == open_label
        if not (inside and role in "IE"):
            left_open = start >= 0 and must_close
            if left_open or not _may_begin(role, inside, scheme):
                before = tags[index - 1] if index else "the start of a sentence"
                raise SchemeError(index, f"{tag} cannot follow {before}")
            if start >= 0:
                spans.append(Span(start, index, open_label))
            start, open_label = (-1, "") if role == "O" else (index, label)
        if role in "ES":
            spans.append(Span(start, index + 1, label))
            start = -1
    if start >= 0:
        if must_close:
            raise SchemeError(len(tags) - 1, f"{tags[-1]} leaves its mention open at the end")
        spans.append(Span(start, len(tags), open_label))
    return spans


def _may_begin(role: str, inside: bool, scheme: Scheme) -> bool:
    """Whether a tag that does not continue a mention may stand here.

    In IOB1 a mention begins with I, and with B only directly after one of its own type.
    """
    if scheme == "iob1":
        return role != "B" or inside
    return role in "OBS"


def _role(tag: str, index: int, roles: dict[str, str], scheme: Scheme) -> tuple[str, str]:
    try:
        prefix, label = split_tag(tag)
    except ValueError as error:
        raise SchemeError(index, str(error)) from error
    if prefix == "O":
        return "O", ""
    if prefix not in roles:
        raise SchemeError(index, f"{tag} is no {scheme.upper()} tag")
    return roles[prefix], label
