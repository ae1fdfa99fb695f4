from __future__ import annotations

import bz2
import gzip
import lzma
from typing import Any

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.examples import Span
from adapterkit.tasks.readers.conll import read_conll
from adapterkit.tasks.schemes import SCHEMES, tags_from_spans
from tasks.strategies import write_scheme

SENTENCES = [
    (["a", "b", "c", "d", "e"], [Span(0, 1, "X"), Span(1, 3, "X"), Span(4, 5, "Y")]),
    (["f"], []),
    (["g", "h", "i"], [Span(0, 3, "Y")]),
    (["j", "k"], [Span(1, 2, "X")]),
]


def as_file(scheme: str, separator: str = "\t", end: str = "\n") -> str:
    lines = []
    for words, spans in SENTENCES:
        tags = write_scheme(spans, len(words), scheme)
        lines += [word + separator + tag for word, tag in zip(words, tags, strict=True)]
        lines.append("")
    return end.join([*lines, ""])


def expected_tags() -> list[tuple[str, ...]]:
    return [tags_from_spans(spans, len(words)) for words, spans in SENTENCES]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("separator", ["\t", " ", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_reads_every_scheme_separator_and_line_end(
    write: Any, ner_task: TaskConfig, scheme: str, separator: str, end: str, bom: bytes
) -> None:
    path = write("train.tsv", bom + as_file(scheme, separator, end).encode())
    examples = read_conll(path, ner_task)
    assert [list(example.words) for example in examples] == [words for words, _ in SENTENCES]
    assert [example.tags for example in examples] == expected_tags()
    assert [example.id for example in examples] == ["train-1", "train-2", "train-3", "train-4"]
    assert all(example.document == example.id for example in examples)


def test_last_sentence_needs_no_blank_line_and_blanks_may_repeat(
    write: Any, ner_task: TaskConfig
) -> None:
    path = write("train.tsv", "\n\na\tO\n \t\n\n\nb\tB-X")
    assert [example.words for example in read_conll(path, ner_task)] == [("a",), ("b",)]


def test_further_columns_are_passed_over(write: Any, ner_task: TaskConfig) -> None:
    path = write("train.conll", "EU NNP I-NP I-X\nrejects VBZ I-VP O\n")
    assert read_conll(path, ner_task)[0].tags == ("B-X", "O")


def test_columns_can_be_chosen(write: Any, ner_task: TaskConfig) -> None:
    columns = ner_task.columns.model_copy(update={"token": 1, "tag": 0})
    task = ner_task.model_copy(update={"columns": columns})
    path = write("train.conll", "B-X word\nO other\n")
    assert read_conll(path, task)[0].words == ("word", "other")


def test_docstart_lines_begin_documents(write: Any, ner_task: TaskConfig) -> None:
    text = "-DOCSTART- -X- O O\n\na O\n\nb O\n-DOCSTART-\nc O\n"
    examples = read_conll(write("train.tsv", text), ner_task)
    assert [example.document for example in examples] == [
        "train-document-1",
        "train-document-1",
        "train-document-2",
    ]


def test_document_ids_come_from_their_file(write: Any, ner_task: TaskConfig) -> None:
    ids = write("train.docids", "12\r\n12\r\n13\r\n14\r\n")
    examples = read_conll(write("train.tsv", as_file("iob2")), ner_task, ids)
    assert [example.document for example in examples] == ["12", "12", "13", "14"]


def test_unusual_characters_stay_in_their_words(write: Any, ner_task: TaskConfig) -> None:
    text = "\u00a0\tO\na\u2028b\tB-X\nc\u0085\tI-X\n"
    assert read_conll(write("train.tsv", text), ner_task)[0].words == (
        "\u00a0",
        "a\u2028b",
        "c\u0085",
    )


@pytest.mark.parametrize(
    ("content", "line", "expected"),
    [
        ("a\tO\nb\n", 2, ["another number of columns", "1 column"]),
        ("a\tO\nb\tc\tO\n", 2, ["3 column", "2 columns"]),
        ("a\tO\n\nb\tO\tO\n", 3, ["another number of columns"]),
        ("a\n", 1, ["a word and a tag"]),
        ("\tO\n", 1, ["word is missing"]),
        ("a\tO\nb\tB-Z\n", 2, ["the label 'Z'", "X, Y"]),
        ("a\tO\n\nb\tchemical\n", 3, ["unknown tag", "chemical"]),
        ("a\tB-X\nb\tI-X\n\nc\tI-Y\n", 4, ["IOB2", "I-Y cannot follow the start", "'c'"]),
        ("a\tB-X\nb\tO\nc\tE-X\n", 2, ["BIOES", "O cannot follow B-X"]),
        ("a\tU-X\nb\tB-X\n", 2, ["BILOU", "leaves its mention open"]),
        ("a\tU-X\nb\tS-X\n", 1, ["U-X is no BIOES tag"]),
        ("a\tO\n  \tO\n", 2, ["word is missing", "word in column 0"]),
        ("a\tB-X\nb\tI-Y\n", 2, ["I-Y cannot follow B-X", "I-X only after B-X or I-X"]),
        ("a\tO\nb\0\tO\n", 2, ["NUL character", "UTF-16"]),
    ],
)
def test_refuses_naming_file_and_line(
    write: Any, ner_task: TaskConfig, content: str, line: int, expected: list[str]
) -> None:
    path = write("train.tsv", content)
    with pytest.raises(UserError) as caught:
        read_conll(path, ner_task)
    message = str(caught.value)
    assert f"{path}, line {line}" in message
    for part in expected:
        assert part in message


def test_nearest_label_is_offered(write: Any, ner_task: TaskConfig) -> None:
    task = ner_task.model_copy(update={"labels": ("Chemical", "Disease")})
    with pytest.raises(UserError, match="Diseases") as caught:
        read_conll(write("train.tsv", "a\tB-Diseases\n"), task)
    assert "did you mean Disease?" in str(caught.value)


def test_a_given_scheme_is_held_to(write: Any, ner_task: TaskConfig) -> None:
    task = ner_task.model_copy(update={"scheme": "iob2"})
    with pytest.raises(UserError, match=r"IOB2 \(given in the task's YAML"):
        read_conll(write("train.tsv", as_file("iob1")), task)


@pytest.mark.parametrize("content", ["", "\n\n", "-DOCSTART- O\n\n", "\ufeff"])
def test_empty_files_are_refused(write: Any, ner_task: TaskConfig, content: str) -> None:
    path = write("train.tsv", content)
    with pytest.raises(UserError, match=r"empty|no sentences") as caught:
        read_conll(path, ner_task)
    assert str(path) in str(caught.value)


def test_wrong_encodings_are_refused_with_line_and_byte(write: Any, ner_task: TaskConfig) -> None:
    path = write("train.tsv", b"a\tO\n\ncaf\xe9\tO\n")
    with pytest.raises(UserError, match="not UTF-8") as caught:
        read_conll(path, ner_task)
    assert f"{path}, line 3" in str(caught.value)
    assert "byte 0xe9 at offset 8" in str(caught.value)
    with pytest.raises(UserError, match="UTF-16"):
        read_conll(write("wide.tsv", "a\tO\n".encode("utf-16")), ner_task)


@pytest.mark.parametrize("ids", ["1\n2\n3\n", "1\n2\n3\n4\n5\n"])
def test_document_ids_of_wrong_length_are_refused(
    write: Any, ner_task: TaskConfig, ids: str
) -> None:
    path = write("train.tsv", as_file("iob2"))
    with pytest.raises(UserError, match="do not match") as caught:
        read_conll(path, ner_task, write("train.docids", ids))
    assert f"{len(ids) // 2} ids for the 4 sentences" in str(caught.value)
    with pytest.raises(UserError, match="document id is missing") as caught:
        read_conll(path, ner_task, write("train.docids", "1\n\n2\n3\n"))
    assert "line 2" in str(caught.value)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Any, ner_task: TaskConfig) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_conll(tmp_path, ner_task)


@pytest.mark.parametrize(
    ("encode", "expected"),
    [
        (lambda text: text.encode("utf-16"), "UTF-16 text"),
        (lambda text: text.encode("utf-32"), "UTF-32 text"),
        (lambda text: text.encode("utf-16-le"), "NUL character"),
        (lambda text: text.encode("utf-16-be"), "NUL character"),
        (lambda text: text.replace("a", "ä").encode("latin-1"), "not UTF-8"),
        (lambda text: gzip.compress(text.encode()), "compressed with gzip"),
        (lambda text: bz2.compress(text.encode()), "compressed with bzip2"),
        (lambda text: lzma.compress(text.encode()), "compressed with xz"),
    ],
)
def test_other_encodings_and_archives_are_named(
    write: Any, ner_task: TaskConfig, encode: Any, expected: str
) -> None:
    path = write("train.tsv", encode(as_file("iob2")))
    with pytest.raises(UserError) as caught:
        read_conll(path, ner_task)
    assert f"{path}, line 1" in str(caught.value)
    assert expected in str(caught.value)
    assert "UTF-8, with or without BOM" in str(caught.value)


def test_blanks_around_tabs_belong_to_neither_cell(write: Any, ner_task: TaskConfig) -> None:
    (example,) = read_conll(write("train.tsv", " a \t B-X \nb\tI-X \n"), ner_task)
    assert (example.words, example.tags) == (("a", "b"), ("B-X", "I-X"))


@pytest.mark.parametrize(
    ("ids", "line"), [("1\n2\n3\n", 4), ("1\n2\n3\n4\n5\n", 5), ("1\n\n3\n4\n", 2), ("", 1)]
)
def test_document_ids_that_do_not_match_are_refused(
    write: Any, ner_task: TaskConfig, ids: str, line: int
) -> None:
    path = write("train.docids", ids)
    with pytest.raises(UserError) as caught:
        read_conll(write("train.tsv", as_file("iob2")), ner_task, path)
    assert f"{path}, line {line}" in str(caught.value)
