"""Checkpoints of a distillation: whole or not there, and the newest that is whole."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adapterkit.runs.atomic import write_bytes, write_text
from adapterkit.runs.hashing import sha256_file

_NAME = "checkpoint-{update}.pt"
_PATTERN = re.compile(r"checkpoint-(\d+)\.pt")
_KEPT = 2


def write_checkpoint(folder: Path, update: int, content: Mapping[str, Any]) -> None:
    """Write a checkpoint in one step, and remove all but the newest two.

    Args:
        folder: Where checkpoints lie.
        update: The update it is taken after.
        content: Tensors, and plain values and containers of them.

    Raises:
        UserError: The disk is full or the path cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    path = folder / _NAME.format(update=update)
    write_bytes(path, buffer.getvalue())
    write_text(_seal(path), sha256_file(path))
    for old in _by_age(folder)[:-_KEPT]:
        _seal(old).unlink(missing_ok=True)
        old.unlink(missing_ok=True)


def read_newest(folder: Path) -> dict[str, Any] | None:
    """The content of the newest whole checkpoint, on the processor; None where there is none.

    A file that was cut short or changed since is passed over for the one before it.
    """
    for path in reversed(_by_age(folder)):
        if _is_whole(path):
            return dict(torch.load(path, map_location="cpu", weights_only=True))
    return None


def _is_whole(path: Path) -> bool:
    try:
        return _seal(path).read_text(encoding="utf-8") == sha256_file(path)
    except (OSError, UnicodeDecodeError):
        return False


def _seal(path: Path) -> Path:
    """The file beside a checkpoint that holds its checksum, and is written after it."""
    return path.with_suffix(".sha256")


def _by_age(folder: Path) -> list[Path]:
    found = [(match, path) for path in folder.glob("*") if (match := _PATTERN.fullmatch(path.name))]
    return [path for _, path in sorted((int(match[1]), path) for match, path in found)]
