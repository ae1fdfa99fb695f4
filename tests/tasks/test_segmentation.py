from __future__ import annotations

import itertools
import re
import time
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.tasks.examples import NerExample
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.segmentation import segment
from adapterkit.tasks.sources import load_data

TEXT = "The patient 5-FU i.v. et al. 0.5 mg . ! (Fig. 2) Dr. p53 \u03b1 \u00b5g e\u0301 U.S."
PARTS = TEXT.split()
PROSE = st.lists(
    st.sampled_from([*PARTS, "\n", "\n\n", "\r\n", "\t", "\u200b", "\u00ad", "\U0001f600"]),
    max_size=30,
).map(" ".join)


@given(st.one_of(st.text(max_size=80), PROSE))
def test_offsets_give_back_the_text_and_nothing_visible_is_lost(text: str) -> None:
    sentences = segment(text)
    position = 0
    for sentence in sentences:
        assert sentence.words
        assert sentence.start == sentence.words[0].start >= position
        assert sentence.end == sentence.words[-1].end
        for word in sentence.words:
            assert position <= word.start < word.end
            assert text[word.start : word.end] == word.text
            assert text[position : word.start].isspace() or is_invisible(
                text[position : word.start]
            )
            position = word.end
    assert is_invisible(text[position:])


def is_invisible(text: str) -> bool:
    hidden = re.compile("[\u2028-\u202e\u00ad\u200b-\u200f\u2060\ufeff\x00-\x1f\x7f-\x9f]")
    return all(c.isspace() or hidden.match(c) for c in text)


@given(PROSE)
def test_words_hold_letters_and_digits_or_are_one_character(text: str) -> None:
    for sentence in segment(text):
        for word in sentence.words:
            has_letters = any(c.isalnum() for c in word.text)
            assert has_letters or len(word.text) == 1
            kinds = {unicodedata.category(c)[0] for c in word.text}
            assert not has_letters or kinds <= {"L", "N", "M", "C"}


def words_of(text: str) -> list[list[str]]:
    return [[word.text for word in sentence.words] for sentence in segment(text)]


def test_words_are_split_as_in_the_corpora() -> None:
    assert words_of("Selegiline-induced hypotension in Parkinson's disease (5 mg/kg).") == [
        [
            "Selegiline",
            "-",
            "induced",
            "hypotension",
            "in",
            "Parkinson",
            "'",
            "s",
            "disease",
            "(",
            "5",
            "mg",
            "/",
            "kg",
            ")",
            ".",
        ]
    ]
    assert words_of("IL-2_alpha, 0.5%") == [["IL", "-", "2", "_", "alpha", ",", "0", ".", "5", "%"]]
    assert words_of("TNF-\u03b1 and cafe\u0301") == [["TNF", "-", "\u03b1", "and", "cafe\u0301"]]


@pytest.mark.parametrize(
    "text",
    [
        "It was given i.v. in ten patients.",
        "As shown (Fig. 3) by Smith et al. (2010) in mice.",
        "Dr. Brown saw her.",
        "Naloxone 0.5 mg/kg i.p. reversed it.",
        "A dose of 2.5 mg (p < 0.05) was used, e.g. Tramadol or codeine.",
        "E. coli and S. Typhimurium were grown.",
        "Cells were from ATCC (Manassas, VA, U.S.A.) and grew.",
        "Treatment vs. Placebo was compared.",
        "See No. 5 of the list.",
        "A line that is wrapped because it is long enough to be\nbroken goes on here.",
        "The abstract was wrapped at seventy characters for mail and then\nNaloxone began a line.",
        "He said that it was (see above). because",
    ],
)
def test_one_sentence_stays_one(text: str) -> None:
    assert len(segment(text)) == 1


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("Aspirin helped. Pain went.", ["Aspirin", "Pain"]),
        ("Was it safe? It was! mRNA fell. p53 rose.", ["Was", "It", "mRNA", "p53"]),
        ("Shown by Smith et al. The dose was low.", ["Shown", "The"]),
        ("They got 5 mg i.v. We then waited.", ["They", "We"]),
        ('He said "stop." She stopped.', ["He", "She"]),
        ("It was known.[12, 13] Later it was not.", ["It", "Later"]),
        ("TITLE\n\nfirst line\n\n  \r\n\r\nsecond", ["TITLE", "first", "second"]),
        ("Aspirin and asthma\nNaloxone and pressure", ["Aspirin", "Naloxone"]),
        ("METHODS:\nWe measured.\r\nRESULTS:\r\nNothing.", ["METHODS", "We", "RESULTS", "Nothing"]),
        ("It ended in 1998. 5 patients died.", ["It", "5"]),
        ("After 24 h. Oxygen was given.", ["After", "Oxygen"]),
    ],
)
def test_sentences_part(text: str, starts: Sequence[str]) -> None:
    assert [sentence[0] for sentence in words_of(text)] == list(starts)


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u200b\ufeff", "\t\r\n"])
def test_blank_text_has_no_sentence(text: str) -> None:
    assert segment(text) == []


def test_a_long_text_takes_little_time() -> None:
    text = "Aspirin (0.5 mg) helped i.v. in E. coli. " * 10_000
    start = time.process_time()
    assert len(segment(text)) == 10_000
    assert time.process_time() - start < 4
    start = time.process_time()
    segment("." * 50_000 + "\n" * 50_000 + " " * 50_000 + "a. " * 15_000)
    assert time.process_time() - start < 4


@pytest.mark.parametrize(
    ("name", "precision", "recall"), [("bc5cdr", 0.98, 0.99), ("ncbi_disease", 0.98, 0.985)]
)
def test_agrees_with_the_corpora(corpora: Path, name: str, precision: float, recall: float) -> None:
    right = given = true = 0
    for sentences in documents(load_data(load_task(name), splits=["dev"]).splits["dev"]):
        text = " ".join(as_prose(sentence.words) for sentence in sentences)
        found = segment(text)
        words = [word.text for sentence in found for word in sentence.words]
        assert words == [word for sentence in sentences for word in sentence.words]
        ends = set(itertools.accumulate(len(sentence.words) for sentence in found))
        gold = set(itertools.accumulate(len(sentence.words) for sentence in sentences))
        right += len(ends & gold)
        given += len(ends)
        true += len(gold)
    assert right / given > precision
    assert right / true > recall


def documents(examples: Sequence[NerExample]) -> Iterator[list[NerExample]]:
    for _, group in itertools.groupby(examples, key=lambda example: example.document):
        yield list(group)


def as_prose(words: Sequence[str]) -> str:
    """Put a tokenised sentence together about as it was printed."""
    text = " ".join(words)
    text = re.sub(r" ([,;:)\]%.?!])", r"\1", text)
    text = re.sub(r"([(\[]) ", r"\1", text)
    text = re.sub(r" ([-/]) ", r"\1", text)
    text = re.sub(r"(\d)\. (\d)", r"\1.\2", text)
    return re.sub(r"\b([a-zA-Z])\. (?=[a-zA-Z]\.)", r"\1.", text)


@pytest.mark.parametrize("run", [".", "!)", "a.", ". ", "\n ", "[1", "A. ", '"', ".[1 "])
def test_long_runs_of_marks_take_linear_time(run: str) -> None:
    text = "x" + run * (50_000 // len(run)) + "Z"
    began = time.process_time()
    words = [word for sentence in segment(text) for word in sentence.words]
    # Quadratic search took minutes for twice as much.
    assert time.process_time() - began < 5
    assert all(text[word.start : word.end] == word.text for word in words)
    assert "".join(word.text for word in words) == "".join(text.split())
