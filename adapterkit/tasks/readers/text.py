"""Reading text files, and saying where they cannot be read."""

from __future__ import annotations

import codecs
from pathlib import Path

from adapterkit.runs.errors import UserError

# UTF-32's little-endian mark begins with UTF-16's: the longer ones first.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32 text",
    codecs.BOM_UTF32_BE: "UTF-32 text",
    codecs.BOM_UTF16_LE: "UTF-16 text",
    codecs.BOM_UTF16_BE: "UTF-16 text",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"PK\x03\x04": "a zip archive",
}


def read_lines(path: Path) -> list[str]:
    r"""Return the lines of a UTF-8 file, with or without BOM, ended by ``\n``, ``\r\n`` or ``\r``.

    Other characters that Unicode calls line breaks (U+2028, U+0085, ...) stay part of their line.

    Raises:
        UserError: If the file cannot be read, is not UTF-8, holds a NUL character or is empty.
    """
    raw = _read_bytes(path)
    if kind := next((kind for mark, kind in _MARKS.items() if raw.startswith(mark)), None):
        raise UserError(
            "the file is not UTF-8 text",
            where=f"{path}, line 1",
            found=kind,
            allowed="UTF-8, with or without BOM, not compressed",
            hint="save it again as UTF-8" if "text" in kind else "unpack it first",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            "the file is not UTF-8",
            where=f"{path}, line {line}",
            found=f"byte 0x{raw[error.start]:02x} at offset {error.start}",
            allowed="UTF-8, with or without BOM",
            hint="save it again as UTF-8, for example with: iconv -f latin1 -t utf-8",
        ) from error
    if not text.strip():
        raise UserError("the file is empty", where=f"{path}, line 1", hint="a split needs examples")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    _refuse_nul(lines, path)
    return lines


def _refuse_nul(lines: list[str], path: Path) -> None:
    number = next((number for number, line in enumerate(lines, start=1) if "\0" in line), None)
    if number:
        raise UserError(
            "the file holds a NUL character, as UTF-16 text without its mark and binary files do",
            where=f"{path}, line {number}",
            found=repr(lines[number - 1][:40]),
            allowed="UTF-8, with or without BOM",
            hint="save it again as UTF-8, for example with: iconv -f utf-16le -t utf-8",
        )


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
