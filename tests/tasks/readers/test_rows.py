from __future__ import annotations

import json
from typing import Any

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.readers.delimited import read_delimited
from adapterkit.tasks.readers.jsonl import read_jsonl


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def with_columns(task: TaskConfig, **columns: Any) -> TaskConfig:
    return task.model_copy(update={"columns": task.columns.model_copy(update=columns)})


def test_reads_ner_rows_in_any_scheme(write: Any, ner_task: TaskConfig) -> None:
    row = {"tokens": ["a", "b", "c"], "tags": ["S-X", "B-Y", "E-Y"]}
    (example,) = read_jsonl(write("train.jsonl", lines(row)), ner_task)
    assert example.tags == ("B-X", "B-Y", "I-Y")
    assert example.id == example.document == "train-1"


def test_reads_numbered_tags(write: Any, ner_task: TaskConfig) -> None:
    task = with_columns(ner_task, tag_ids=("O", "B-Y", "I-Y"), tags="ner_tags")
    path = write("train.jsonl", lines({"tokens": ["a", "b", "c"], "ner_tags": [1, 2, 0]}))
    assert read_jsonl(path, task)[0].tags == ("B-Y", "I-Y", "O")
    with pytest.raises(UserError, match="tags are numbers"):
        read_jsonl(path, with_columns(ner_task, tags="ner_tags"))
    bad = write("bad.jsonl", lines({"tokens": ["a"], "ner_tags": [7]}))
    with pytest.raises(UserError, match="unknown tag"):
        read_jsonl(bad, task)


def test_reads_texts_with_ids_and_documents(write: Any, multilabel_task: TaskConfig) -> None:
    path = write(
        "train.jsonl",
        lines(
            {"id": "7-1", "text": "one", "label": ["c", "a"]},
            {"id": "7-2", "text": "two", "label": []},
        )
        + "\n",
    )
    task = with_columns(multilabel_task, id="id", document_separator="-")
    first, second = read_jsonl(path, task)
    assert (first.id, first.document, first.labels) == ("7-1", "7", ("a", "c"))
    assert (second.document, second.labels) == ("7", ())
    task = with_columns(multilabel_task, document="id")
    assert [example.id for example in read_jsonl(path, task)] == ["train-1", "train-2"]


def test_classes_may_be_numbers(write: Any, class_task: TaskConfig) -> None:
    task = class_task.model_copy(update={"labels": ("0", "1"), "negative_labels": ()})
    path = write("train.jsonl", lines({"text": "t", "label": 1}))
    assert read_jsonl(path, task)[0].labels == ("1",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"text": "a", "label": ["a"]}\n{oops\n', ["line 2", "not JSON"]),
        ('["a"]\n', ["line 1", "not a JSON object"]),
        (lines({"txt": "a", "label": []}), ["line 1", "'text' is missing", "did you mean txt?"]),
        (lines({"text": 3, "label": []}), ["line 1", "text is not a text"]),
        (lines({"text": "  ", "label": []}), ["line 1", "text is empty"]),
        (lines({"text": "a", "label": "a"}), ["label is not a list"]),
        (lines({"text": "a", "label": [1]}), ["label is not a list of strings"]),
        (lines({"text": "a", "label": ["d"]}), ["label 'd'", "a, b, c"]),
        ("{}\n" + "[" * 200_000, ["line 2", "nested too deeply"]),
        ('{"text": "a", "label": ' + "1" * 5000 + "}", ["line 1", "digits"]),
        ('{"text": "a\\ud800", "label": []}', ["line 1", "surrogate"]),
        ('{"text": "a", "text": "b", "label": []}', ["line 1", "'text' is given twice"]),
        ("", ["empty"]),
    ],
)
def test_refuses_texts_naming_the_line(
    write: Any, multilabel_task: TaskConfig, content: str, expected: list[str]
) -> None:
    path = write("train.jsonl", content)
    with pytest.raises(UserError) as caught:
        read_jsonl(path, multilabel_task)
    for part in (str(path), *expected):
        assert part in str(caught.value)


def test_refuses_repeated_ids_naming_both_lines(write: Any, multilabel_task: TaskConfig) -> None:
    row = {"id": 5, "text": "a", "label": []}
    path = write("train.jsonl", lines(row, {**row, "id": 6}, row))
    with pytest.raises(UserError, match="given twice") as caught:
        read_jsonl(path, with_columns(multilabel_task, id="id"))
    assert "lines 1 and 3" in str(caught.value)


@pytest.mark.parametrize("key", ["id", "doc"])
@pytest.mark.parametrize("value", [None, "", " ", [1], 1.5, True])
def test_refuses_ids_that_name_nothing(
    write: Any, multilabel_task: TaskConfig, key: str, value: Any
) -> None:
    row = {"id": 1, "doc": "d", "text": "a", "label": []}
    path = write("train.jsonl", lines(row, {**row, "id": 2, key: value}))
    with pytest.raises(UserError, match=f"{key} is not a text or a whole number") as caught:
        read_jsonl(path, with_columns(multilabel_task, id="id", document="doc"))
    assert f"{path}, line 2" in str(caught.value)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"tokens": ["a"], "tags": ["O", "O"]}, "1 words, 2 tags"),
        ({"tokens": [], "tags": []}, "no words"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "a word is empty"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "a word is empty"),
        ({"tokens": ["a"], "tags": [0]}, "the tags are numbers"),
        ({"tokens": "a", "tags": ["O"]}, "tokens is not a list"),
        ({"tokens": ["a"], "tags": "O"}, "tags is not a list"),
        ({"tokens": ["a", "b"], "tags": ["O", "B-Q"]}, "line 1, tag 2"),
        ({"tokens": ["a", "b"], "tags": ["B-Y", "I-X"]}, "I-X cannot follow B-Y"),
    ],
)
def test_refuses_ner_rows(write: Any, ner_task: TaskConfig, row: Any, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        read_jsonl(write("train.jsonl", lines(row)), ner_task)
    assert expected in str(caught.value)


def test_reads_tab_and_comma_separated_texts(write: Any, class_task: TaskConfig) -> None:
    task = with_columns(class_task, text="sentence", label="role")
    tabs = write("train.tsv", 'role\tsentence\r\nleft\tsaid "no", twice\r\nright\tb\r\n')
    commas = write("train.csv", 'role,sentence\nleft,"said ""no"", twice"\nright,b\n')
    for path in (tabs, commas):
        first, second = read_delimited(path, task)
        assert (first.text, first.labels) == ('said "no", twice', ("left",))
        assert second.labels == ("right",)


def test_reads_columns_by_number_and_several_labels(
    write: Any, multilabel_task: TaskConfig
) -> None:
    task = with_columns(multilabel_task, text=1, label=0)
    first, second = read_delimited(write("train.tsv", "c | a\tone\n\ttwo\n"), task)
    assert first.labels == ("a", "c")
    assert second.labels == ()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text\tlabl\na\tleft\n", ["no column 'label'", "did you mean labl?"]),
        ("text\tlabel\na\tleft\nb\n", ["line 3", "1 column"]),
        ("text\tlabel\na\tup\n", ["line 2", "label 'up'"]),
        ("text\ttext\tlabel\n", ["named twice"]),
        ("text\tlabel\n", ["no examples"]),
    ],
)
def test_refuses_delimited_texts(
    write: Any, class_task: TaskConfig, content: str, expected: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        read_delimited(write("train.tsv", content), class_task)
    for part in expected:
        assert part in str(caught.value)


def test_a_comma_file_with_line_breaks_keeps_its_line_numbers(
    write: Any, class_task: TaskConfig
) -> None:
    path = write("train.csv", 'text,label\n"two\nlines",left\nb,up\n')
    with pytest.raises(UserError, match="'up'") as caught:
        read_delimited(path, class_task)
    assert "line 4" in str(caught.value)
