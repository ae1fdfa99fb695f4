"""The formats predictions can be written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from adapterkit.runs.errors import UserError, nearest
from adapterkit.serving.layers import Layer
from adapterkit.serving.rendering.brat import render_brat
from adapterkit.serving.rendering.html import render_html
from adapterkit.serving.rendering.json import render_json
from adapterkit.serving.rendering.text import render_text

Renderer = Callable[[Sequence[Layer]], str]

FORMATS: Mapping[str, Renderer] = {
    "text": render_text,
    "json": render_json,
    "html": render_html,
    "brat": render_brat,
}


def renderer(name: str) -> Renderer:
    """Return the function that writes a format.

    Raises:
        UserError: If there is no such format.
    """
    if name not in FORMATS:
        meant = nearest(name, FORMATS)
        raise UserError(
            "there is no such format",
            where="--format",
            found=name,
            allowed=FORMATS,
            hint=f"did you mean {meant}?" if meant else None,
        )
    return FORMATS[name]
