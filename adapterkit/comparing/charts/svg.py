"""SVG elements as text."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

_STYLE = "color:#1b1b1b;background:#ffffff;font-family:system-ui,sans-serif"
_HEADING = 36
_SIZE = re.compile(r' (?:width|height)="([0-9.]+)"')
# Characters that XML forbids.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def element(name: str, *content: str, **attributes: object) -> str:
    """An element with some content, which is SVG already.

    Args:
        name: Of the element.
        content: What it holds.
        attributes: By name; ``_`` stands for ``-``, and one that is None is left out.
    """
    given = "".join(
        f" {key.strip('_').replace('_', '-')}={quoteattr(_text(value))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{''.join(content)}</{name}>" if content else f"<{name}{given}/>"


def text(x: float, y: float, words: str, **attributes: object) -> str:
    """Words at a place."""
    return element("text", clean(words), x=x, y=y, fill="currentColor", **attributes)


def clean(words: str) -> str:
    """Words as SVG can hold them."""
    return escape(_FORBIDDEN.sub("\ufffd", words))


def drawing(width: float, height: float, title: str, description: str, *content: str) -> str:
    """A drawing that a page can hold.

    Args:
        width: In its own units; it is drawn as wide as there is room for, but no wider than that.
        height: In the same units.
        title: What it is called.
        description: What it shows, for those who cannot see it.
        content: Its elements.
    """
    return element(
        "svg",
        element("title", clean(title)),
        element("desc", clean(description)),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        width=width,
        height=height,
        role="img",
        font_size=12,
        _class="chart",
    )


def as_file(drawn: str, heading: str) -> str:
    """A drawing as a file of its own, dark on white, with a heading above it."""
    width, height = (float(size) for size in _SIZE.findall(drawn)[:2])
    top = text(12, 24, heading, font_size=14, font_weight="bold")
    inside = drawn.replace("<svg ", f'<svg y="{_HEADING}" ', 1)
    outside = {"width": width, "height": height + _HEADING, "style": _STYLE}
    return element("svg", top, inside, xmlns="http://www.w3.org/2000/svg", **outside) + "\n"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return _FORBIDDEN.sub("\ufffd", str(value))
