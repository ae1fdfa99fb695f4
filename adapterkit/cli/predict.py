"""``adapterkit predict``: mark entities, or label texts, with a tuned adapter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from adapterkit.runs.errors import UserError


def predict(
    adapter: Annotated[
        list[Path], typer.Option("--adapter", metavar="RUN", help="A run directory; repeatable.")
    ],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="UTF-8 text; standard input by default."),
    ] = None,
    style: Annotated[
        str, typer.Option("--format", metavar="text|json|html|brat", help="How to print.")
    ] = "text",
) -> None:
    """Mark entities in a text, or label it."""
    text = _read(file)


def _read(file: Path | None) -> str:
    where = "standard input" if file is None else str(file)
    try:
        data = sys.stdin.buffer.read() if file is None else file.read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            "The text is not UTF-8.", where=f"{where}, byte {error.start}", hint="convert it first"
        ) from error
    except OSError as error:
        raise UserError("The text cannot be read.", where=where, found=error.strerror) from error
