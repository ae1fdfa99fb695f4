"""Reading text files, and saying where they cannot be read."""

from __future__ import annotations

import codecs
from pathlib import Path

from adapterkit.runs.errors import UserError

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(path: Path) -> list[str]:
    r"""Return the lines of a UTF-8 file, with or without BOM, ended by ``\n``, ``\r\n`` or ``\r``.

    Other characters that Unicode calls line breaks (U+2028, U+0085, ...) stay part of their line.

    Raises:
        UserError: If the file cannot be read, is not UTF-8 or is empty.
    """
    raw = _read_bytes(path)
    if raw.startswith(_UTF16_MARKS):
        raise UserError(
            "the file is UTF-16, not UTF-8", where=str(path), hint="save it again as UTF-8"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            "the file is not UTF-8",
            where=f"{path}, line {line}",
            found=f"byte 0x{raw[error.start]:02x} at offset {error.start}",
            hint="save it again as UTF-8, for example with: iconv -f latin1 -t utf-8",
        ) from error
    if not text.strip():
        raise UserError("the file is empty", where=str(path), hint="a split needs examples")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
