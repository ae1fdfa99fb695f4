"""``adapterkit predict``: mark entities, or label texts, with what runs learned."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from adapterkit.cli import output
from adapterkit.runs.errors import UserError


def predict(
    adapter: Annotated[
        list[str],
        typer.Option(
            "--adapter",
            metavar="RUN|PACKAGE",
            help="A run directory, a package, or one's name. May be given repeatedly.",
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Text in UTF-8; standard input by default."),
    ] = None,
    style: Annotated[
        str, typer.Option("--format", metavar="text|json|html|brat", help="How to write it.")
    ] = "text",
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="B", help="A package's backbone, if it was moved."),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Take every line as a text of its own.")
    ] = False,
) -> None:
    """Mark entities in a text, or label it, with one adapter or several."""
    from adapterkit.serving.rendering.formats import renderer

    render = renderer(style)
    text = _read(file)
    texts = _lines(text, keep_ends=style == "brat") if lines else [text]
    if not text.strip():
        raise UserError("There is no text.", where=_name(file), hint="give a FILE, or pipe text in")

    from adapterkit.cli.learned import check_there
    from adapterkit.cli.progress import ProgressBars

    for source in adapter:
        check_there(source)
    from adapterkit.serving.layers import predict_layers
    from adapterkit.serving.rendering.text import render_text
    from adapterkit.serving.together import load_adapters

    with output.clear_stdout(True), ProgressBars(passing=True) as progress:
        layers = predict_layers(load_adapters(adapter, backbone=backbone), texts, progress)
    if style == "text" and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        rendered = render_text(layers, colour=True)
    else:
        rendered = render(layers)
    # As bytes: HTML and JSON are UTF-8 whatever the locale, and line ends stay as they are.
    typer.echo(rendered.encode("utf-8"), nl=False)


def _read(file: Path | None) -> str:
    try:
        if file is not None:
            return file.read_bytes().decode("utf-8-sig")
        if sys.stdin.isatty():
            typer.echo("Reading standard input; end with Ctrl-D.", err=True)
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            "The text is not UTF-8.",
            where=f"{_name(file)}, line {error.object.count(10, 0, error.start) + 1}, "
            f"byte {error.start}",
            found=f"0x{error.object[error.start]:02x}",
            hint="convert it first, for example with iconv",
        ) from error
    except OSError as error:
        raise UserError(
            "The text cannot be read.", where=_name(file), found=error.strerror
        ) from error


def _lines(text: str, *, keep_ends: bool) -> list[str]:
    r"""Split at ``\n``, ``\r\n`` and ``\r`` alone, as the offsets of brat count lines.

    `str.splitlines` also splits at form feeds, U+2028 and others that stand within lines.
    """
    lines = [line for line in re.findall(r"[^\r\n]*(?:\r\n|\r|\n)?", text) if line]
    return lines if keep_ends else [line.rstrip("\r\n") for line in lines]


def _name(file: Path | None) -> str:
    return "standard input" if file is None else str(file)
