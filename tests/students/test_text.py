from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.students.text import read_documents


def test_blank_lines_and_files_part_documents(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.txt", tmp_path / "b"
    plain.write_bytes("\ufeff\n\none \r\n two\n \n\nthree".encode())
    packed.write_bytes(gzip.compress(b"four\n\nfive\n\n"))
    found = list(read_documents([plain, packed]))
    assert found == [(0, "one"), (0, "two"), (1, "three"), (2, "four"), (3, "five")]


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_that_is_not_utf8_is_named(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "corpus.txt"
    content = b"first\nsecond\n" + b"na\xefve\n"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(UserError, match="not UTF-8") as error:
        list(read_documents([path]))
    assert error.value.where == f"{path}, line 3"
    assert error.value.found == "byte 0xef at byte 3 of the line"


def test_a_torn_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt.gz"
    path.write_bytes(gzip.compress(b"words and words\n" * 500)[:60])
    with pytest.raises(UserError, match="cannot be read") as error:
        list(read_documents([path]))
    assert str(path) in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read") as error:
        list(read_documents([tmp_path / "none.txt"]))
    assert "none.txt" in str(error.value)
