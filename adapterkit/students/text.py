"""Reading a corpus: passages of text or gzip files, one a line, documents parted by blank lines."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from adapterkit.runs.errors import UserError

_GZIP = b"\x1f\x8b"
_ALLOWED = "UTF-8 text, or gzip of it: one passage a line, a blank line between documents"


def read_documents(paths: Sequence[Path]) -> Iterator[tuple[int, str]]:
    """Every passage of the files, in order, with the number of its document.

    A document ends at a blank line and at the end of its file.

    Args:
        paths: Text or gzip files; which of the two is told by their first bytes.

    Yields:
        The document, counted from zero over all files, and the passage without outer white space.

    Raises:
        UserError: A file cannot be read, its gzip data are damaged, or a line is not UTF-8.
    """
    document, filled = 0, False
    for path in paths:
        for number, raw in _lines(path):
            passage = _decode(raw, path, number).strip()
            if passage:
                yield document, passage
                filled = True
            elif filled:
                document, filled = document + 1, False
        if filled:
            document, filled = document + 1, False


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with _opened(path) as file:
            for number, raw in enumerate(file, start=1):
                yield number, raw
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            "The corpus cannot be read.",
            where=f"{path}, after line {number}" if number else str(path),
            found=getattr(error, "strerror", None) or str(error),
            allowed=_ALLOWED,
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with open(path, "rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if not packed:
            yield file
            return
        with gzip.open(file, "rb") as unpacked:
            yield unpacked  # type: ignore[misc]


def _decode(raw: bytes, path: Path, number: int) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            "The corpus is not UTF-8 text.",
            where=f"{path}, line {number}",
            found=f"byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the line",
            allowed=_ALLOWED,
            hint="convert the file, for example with: iconv -f LATIN1 -t UTF-8",
        ) from error
