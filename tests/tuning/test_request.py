"""What a run was asked to do, kept and compared."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.tuning.request import Request, check_same

ASKED = Request("bc5cdr", "0-5:adapter(seq_bn)", seed=3, learning_rate=1e-3)
OPTIONS = [field for field in fields(Request) if field.default is not MISSING]


def test_it_comes_back_from_json() -> None:
    assert Request.from_dict(json.loads(json.dumps(ASKED.as_dict()))) == ASKED


def test_folders_and_files_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "sample").mkdir()
    asked = Request("tasks/own.yaml", "all:full", backbone="nlpie/some-model", data="data")
    assert asked.task == str(tmp_path / "tasks/own.yaml")
    assert asked.data == str(tmp_path / "data")
    assert asked.backbone == "nlpie/some-model"
    assert Request("bc5cdr", "all:full", data="sample").data == "sample"


def test_the_same_request_passes() -> None:
    check_same(ASKED, replace(ASKED))


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("learning_rate", "--lr", 1e-4),
        ("head_learning_rate", "--head-lr", 1e-2),
        ("batch_tokens", "--batch-tokens", 64),
        ("limit_train", "--limit-train", 9),
        ("limit_dev", "--limit-dev", 9),
        ("plan", "--plan", "0-5:full"),
        ("protocol", "--protocol", "nlpie"),
    ],
)
def test_another_request_is_refused(name: str, option: str, value: object) -> None:
    with pytest.raises(UserError, match="other options") as error:
        check_same(replace(ASKED, **{name: value}), ASKED)
    assert error.value.where == option
    assert error.value.found == str(value)
    assert error.value.allowed == str(getattr(ASKED, name))


@pytest.mark.parametrize("name", ["task", "plan", "colour"])
def test_missing_and_unknown_fields_are_noticed(name: str) -> None:
    values = ASKED.as_dict()
    if values.pop(name, None) is None:
        values[name] = "blue"
    with pytest.raises(UserError, match="damaged") as error:
        Request.from_dict(values)
    assert error.value.found == name


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_older_version_may_have_lacked_an_option(option: Field[Any]) -> None:
    values = ASKED.as_dict()
    del values[option.name]
    assert Request.from_dict(values) == replace(ASKED, **{option.name: option.default})


@pytest.mark.parametrize(
    ("task", "plan", "name"),
    [
        ("bc5cdr", "0-5:adapter(seq_bn)", "bc5cdr-0-5-adapter-seq-bn-s3"),
        ("/some/where/own.yaml", "5:full", "own-5-full-s3"),
        ("bc5cdr", "0-5:adapter(" + "x" * 200, "bc5cdr-0-5-adapter-" + "x" * 61 + "-s3"),
    ],
)
def test_the_name_of_the_folder(task: str, plan: str, name: str) -> None:
    assert Request(task, plan, seed=3).folder_name == name
