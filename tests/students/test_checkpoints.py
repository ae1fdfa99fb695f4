from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adapterkit.runs.errors import UserError
from adapterkit.students.checkpoints import read_newest, write_checkpoint


def _write(folder: Path, *updates: int) -> None:
    for update in updates:
        write_checkpoint(folder, update, {"update": update, "weights": torch.full((3,), update)})


def test_the_newest_checkpoint_is_read_and_two_are_kept(tmp_path: Path) -> None:
    _write(tmp_path, 2, 9, 10)
    found = read_newest(tmp_path)
    assert found is not None
    assert found["update"] == 10
    assert found["weights"].tolist() == [10, 10, 10]
    assert {path.name for path in tmp_path.glob("*.pt")} == {"checkpoint-9.pt", "checkpoint-10.pt"}


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2)
    newest = tmp_path / "checkpoint-2.pt"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(bytes(data))
    found = read_newest(tmp_path)
    assert found is not None
    assert found["update"] == 1


def test_a_checkpoint_whose_seal_was_not_written_any_more_is_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2)
    (tmp_path / "checkpoint-2.sha256").unlink()
    found = read_newest(tmp_path)
    assert found is not None
    assert found["update"] == 1


def test_without_checkpoints_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert read_newest(tmp_path / "none") is None


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        _write(tmp_path / "file" / "checkpoints", 1)
