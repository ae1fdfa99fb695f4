from __future__ import annotations

from pathlib import Path

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.runs.fresh import check_fresh, unused


def test_the_first_name_that_is_free(tmp_path: Path) -> None:
    path = tmp_path / "v1.5"
    assert unused(path) == path
    for name in ("v1.5", "v1.5-2", "v1.5-3"):
        (tmp_path / name).mkdir()
    assert unused(path) == tmp_path / "v1.5-4"


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    check_fresh(tmp_path)
    check_fresh(tmp_path / "missing")


@pytest.mark.parametrize(
    ("holds", "words"),
    [
        ({"finished": "a run", "hint": "read it"}, "choose another --output; read it"),
        ({"unfinished": "a run", "hint": "go on"}, "go on; or choose another --output"),
        ({"finished": "a run"}, "choose another --output"),
    ],
)
def test_what_stands_there_is_named(tmp_path: Path, holds: dict[str, str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        check_fresh(tmp_path, **holds)
    assert "holds a run" in str(caught.value)
    assert caught.value.hint == words


def test_foreign_files_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="not empty"):
        check_fresh(tmp_path)
