"""The formats by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from adapterkit.comparing.tables.formats import csv, html, json, latex, markdown
from adapterkit.comparing.tables.table import Table
from adapterkit.runs.errors import UserError, nearest

Renderer = Callable[[Sequence[Table]], str]

TERMINAL = "table"
"""The format for the terminal, which is no text; see `terminal`."""

TEXTS: Mapping[str, Renderer] = {
    "markdown": markdown.render,
    "csv": csv.render,
    "latex": latex.render,
    "json": json.render,
    "html": html.render,
}
"""Formats that are text, for files and pipes."""


def text_renderer(name: str) -> Renderer:
    """Return the function that writes a format.

    Raises:
        UserError: If there is no such format.
    """
    if name not in TEXTS:
        names = (TERMINAL, *TEXTS)
        meant = nearest(name, names)
        raise UserError(
            "there is no such format",
            where="--format",
            found=name,
            allowed=names,
            hint=f"did you mean {meant}?" if meant else None,
        )
    return TEXTS[name]
