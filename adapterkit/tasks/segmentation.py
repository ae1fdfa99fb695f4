"""Plain text to sentences and words, with exact character offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from adapterkit.tasks.abbreviations import ALWAYS, BEFORE_NUMBER, OPENERS, UNLESS_OPENER

# A word is a run of letters and digits (with combining marks, soft hyphens and joiners inside), or
# any other visible character by itself: how the corpora of task_configs/ are split.
_JOINERS = "\u0300-\u036f\u00ad\u200c\u200d"
_INVISIBLE = "\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff"
_WORD = re.compile(rf"(?:[^\W_][{_JOINERS}]*)+|[^\s{_INVISIBLE}]")

_BLANK_LINE = re.compile(r"(?:\r\n|\r|\n)[^\S\r\n]*(?:(?:\r\n|\r|\n)[^\S\r\n]*)+")
_LINE_END = re.compile(r"\r\n|\r|\n")
_SHORT_LINE = 45

# Terminal marks, what may close behind them (quotes, brackets, a citation), then white space. The
# look-behind keeps the search linear: no second try from the middle of a run of marks.
_TERMINAL = re.compile(
    r"(?<![.!?])[.!?]+[\"'\u201d\u2019\u00bb)\]}]*(?:\s?\[\d[\d,;\s\u2013-]*\])?(?=\s)"
)
_SPACED_INITIALS = re.compile(r"(?:^|[\s(\[])[A-Za-z](?:\s?\.\s?[A-Za-z])*\s?$")
_DOTTED = re.compile(r"(?:^|[^\w.])(?:[A-Za-z]\.\s?)+[A-Za-z]$")
_UNIT = re.compile(r"\d\s?[a-z]$")
_BEFORE_DECIMALS = tuple("0123456789=<>")
_LAST_WORD = re.compile(r"[^\s(\[\"'\u201c\u2018/]+$")
_NEXT_WORD = re.compile(r"[^\s.,;:!?)\]]+")
_CLOSING_NEXT = re.compile(r"[,;:.!?)\]}%=<>+*/~&|\u2013-](?![A-Za-z0-9])|[,;:)\]}%=]")
_LOOK_BACK = 40


@dataclass(frozen=True, slots=True)
class WordSpan:
    """A word: characters ``start`` to ``end`` (end exclusive) of the text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence: characters ``start`` to ``end`` (end exclusive) of the text, and its words."""

    start: int
    end: int
    words: tuple[WordSpan, ...]


def segment(text: str) -> list[Sentence]:
    """Split plain text into sentences and words.

    Blank lines always part sentences; a single line break does where the line is a short heading
    or item, and otherwise counts as a space. Every visible character belongs to exactly one word,
    and ``text[word.start:word.end] == word.text`` for every word.

    Args:
        text: Any text.

    Returns:
        The sentences that have words, in order; none for a blank text.
    """
    sentences = []
    for start, end in _sentence_bounds(text):
        words = tuple(
            WordSpan(match.start(), match.end(), match.group())
            for match in _WORD.finditer(text, start, end)
        )
        if words:
            sentences.append(Sentence(words[0].start, words[-1].end, words))
    return sentences


def _sentence_bounds(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for end in sorted({*_line_ends(text), *_terminal_ends(text), len(text)}):
        if end > start:
            yield start, end
        start = end


def _line_ends(text: str) -> Iterator[int]:
    for match in _BLANK_LINE.finditer(text):
        yield match.end()
    begin = 0
    for match in _LINE_END.finditer(text):
        line = text[begin : match.start()].strip()
        following = text[match.end() : match.end() + _LOOK_BACK].lstrip()[:1]
        is_short = 0 < len(line) < _SHORT_LINE and not line.endswith((",", "-", "("))
        if is_short and (following.isupper() or following.isdigit() or following in ("-", "*")):
            yield match.end()
        begin = match.end()


def _terminal_ends(text: str) -> Iterator[int]:
    for match in _TERMINAL.finditer(text):
        before = text[max(0, match.start() - _LOOK_BACK) : match.start()]
        after = text[match.end() : match.end() + _LOOK_BACK].lstrip()
        if _may_begin_sentence(after) and not (
            match.group()[0] == "." and _is_abbreviation(before, after)
        ):
            yield match.end()


def _may_begin_sentence(after: str) -> bool:
    """Whether what follows looks like a sentence: no lower-case word, no closing mark.

    Names such as mRNA, p53 and siRNA begin one in spite of their lower case.
    """
    if not after or _CLOSING_NEXT.match(after):
        return False
    word = _NEXT_WORD.match(after)
    first = word.group() if word else after[0]
    if not first[0].islower():
        return True
    return any(character.isupper() or character.isdigit() for character in first[1:4])


def _is_abbreviation(before: str, after: str) -> bool:
    """Whether the full stop between the two belongs to an abbreviation, initial or number."""
    found = _LAST_WORD.search(before.rstrip())
    last = found.group().lower() if found else ""
    next_word = _NEXT_WORD.match(after)
    following = next_word.group() if next_word else after[:1]
    opens = following in OPENERS
    # Spaced-out numbers of tokenised text: "2 . 5", "P < . 01".
    if following[:1].isdigit() and before[-1:].isspace() and last[-1:] in _BEFORE_DECIMALS:
        return True
    if last in ALWAYS:
        return True
    if last in BEFORE_NUMBER:
        return following[:1].isdigit() or following[:1] in "(["
    is_initial = bool(_DOTTED.search(before) or _SPACED_INITIALS.search(before))
    is_initial = is_initial and not _UNIT.search(before)
    return (last in UNLESS_OPENER or is_initial) and not opens
