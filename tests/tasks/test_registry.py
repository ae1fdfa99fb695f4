from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.tasks.registry import config_folder, load_task, task_names

OWN = """
kind: ner
labels: [Chemical, Disease]
files:
  train: {data: train.tsv}
"""


def test_every_shipped_configuration_is_valid_and_complete() -> None:
    names = task_names()
    assert {"bc5cdr", "bc2gm", "jnlpba", "ncbi_disease", "chemprot", "hoc", "ade"} <= set(names)
    assert len(names) == len(list(config_folder().rglob("*.yaml")))
    for name in names:
        task = load_task(name)
        assert task.name == name
        assert set(task.files) == set(task.expected) == {"train", "dev", "test"}
        if task.hub is None:
            assert any("The hub" in note or "the hub" in note for note in task.notes)
        else:
            assert set(task.hub.files) == set(task.files)
        assert all((task.title, task.source, task.licence, task.citation, task.notes))
        for counts in task.expected.values():
            assert list(counts.labels) == list(task.labels)


def test_tag_names_follow_the_label_order() -> None:
    assert load_task("bc5cdr").tag_names == (
        "O",
        "B-Chemical",
        "I-Chemical",
        "B-Disease",
        "I-Disease",
    )
    assert load_task("hoc").output_names == load_task("hoc").labels
    with pytest.raises(ValueError, match="multilabel"):
        _ = load_task("hoc").tag_names


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        load_task("bc5cd")
    assert "did you mean bc5cdr?" in str(caught.value)
    assert "ncbi_disease" in str(caught.value)


def test_own_task_gets_defaults_and_its_folder(write: Any) -> None:
    path = write("mine.yaml", OWN)
    task = load_task(path)
    assert (task.name, task.metric, task.scheme) == ("mine", "strict_f1", "auto")
    assert task.data == path.parent
    assert load_task(str(path)) == task
    other = load_task(write("other.yml", OWN + "data: corpus/here\n"))
    assert other.data == path.parent / "corpus" / "here"


def test_path_of_a_shipped_configuration_is_that_task() -> None:
    assert load_task(config_folder() / "bc5cdr.yaml") == load_task("bc5cdr")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such task file") as caught:
        load_task(tmp_path / "nowhere.yaml")
    assert "nowhere.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OWN + "lables: [X]\n", ["line 6", "unknown key lables", "did you mean labels?"]),
        (OWN.replace("data:", "dta:"), ["line 5", "files.train.dta", "did you mean data?"]),
        (OWN.replace("kind: ner\n", ""), ["the key kind is missing"]),
        (OWN.replace("ner", "nerr"), ["line 2", "kind", "'ner', 'classification'"]),
        (OWN.replace("[Chemical, Disease]", "[A, A]"), ["line 3", "named twice: A"]),
        (OWN.replace("[Chemical, Disease]", "[]"), ["line 3", "at least one label"]),
        (OWN.replace("Disease", "no"), ["line 3", "not False", "put it in quotes"]),
        (OWN + "metric: acuracy\n", ["metric 'acuracy'", "strict_f1"]),
        (OWN + "kind: ner\n", ["line 6", "'kind' is given twice"]),
        (OWN + "expected: {train: {examples: 1, labels: {Gene: 1}}}\n", ["expected names Gene"]),
        (OWN + "columns: {tag_ids: [O, B-Gene]}\n", ["columns.tag_ids names Gene"]),
        (OWN + "max_length: 2\n", ["line 6", "max_length"]),
        (OWN + "x: [\n", ["not valid YAML", "line"]),
        ("- a\n- b\n", ["line 1", "keys and values", "a list"]),
        ("", ["line 1", "keys and values", "nothing"]),
        (OWN + "columns:\n\ttoken: 0\n", ["line 7", "not valid YAML", "indent with spaces"]),
        (OWN + "? [a, b]\n: 1\n", ["line 6", "a key is a list"]),
        (OWN + "notes: &a [*a]\n", ["line 6", "aliases (*a)"]),
        (OWN + "title: a\x01b\n", ["line 6", "not valid YAML"]),
        (OWN + "1: 2\n", ["line 6", "Keys should be strings"]),
        (OWN + "ignore_labels: [Disease]\n", ["line 6", "ignore_labels names Disease"]),
        (OWN + "corpus: ../else\n", ["line 6", "'../else'", "letters, digits"]),
        (OWN.replace("[Chemical, Disease]", "A"), ["line 3", "labels: 'A'", "a list"]),
        (OWN.replace("Disease", "'A '"), ["line 3", "white space", "'A '"]),
        (OWN.replace("train:", "training:"), ["line 5", "'train', 'dev' or 'test'"]),
        (OWN + "metric: accuracy\n", ["line 6", "metric 'accuracy'"]),
        (OWN + "columns: {tag_ids: [O, X]}\n", ["line 6", "'X' is neither"]),
        (OWN + "name: my task\n", ["line 6", "'my task'", "letters, digits"]),
        ("files: {}\nkind: ner\nlabels: [a]\n", ["at least one of train, dev, test"]),
    ],
)
def test_invalid_configurations_say_what_and_where(
    write: Any, text: str, expected: list[str]
) -> None:
    path = write("mine.yaml", text)
    with pytest.raises(UserError) as caught:
        load_task(path)
    message = str(caught.value)
    assert str(path) in message
    for part in expected:
        assert part in message


def test_all_problems_are_told_at_once(write: Any) -> None:
    path = write("mine.yaml", OWN.replace("kind: ner", "knd: ner") + "extra: 1\n")
    with pytest.raises(UserError) as caught:
        load_task(path)
    assert all(part in str(caught.value) for part in ("knd", "kind is missing", "extra"))


def test_wrong_encoding_is_told(write: Any) -> None:
    path = write("mine.yaml", "kind: ner\ntitle: Kühl".encode("latin1"))
    with pytest.raises(UserError, match="not UTF-8") as caught:
        load_task(path)
    assert f"{path}, line 2" in str(caught.value)


def test_an_empty_data_folder_is_the_folder_of_the_file(write: Any) -> None:
    path = write("mine.YAML", OWN + "data:\n")
    assert load_task(str(path)).data == path.parent
