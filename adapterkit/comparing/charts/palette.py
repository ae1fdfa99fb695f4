"""Colours, markers, lines and hatches that tell series apart, also in grey."""

from __future__ import annotations

from dataclasses import dataclass

from adapterkit.comparing.charts.svg import element

# Okabe and Ito's palette (Wong 2011, Nature Methods 8:441), without the yellow, which white paper
# swallows, and the black, which dark pages do.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = (None, "7 3", "2 3", "9 3 2 3", "1 2")
_SHAPES = ("circle", "square", "triangle", "diamond", "cross", "plus", "inverted")


@dataclass(frozen=True)
class Look:
    """How a series looks everywhere.

    Attributes:
        key: Its letter.
        colour: Its colour.
        shape: Its marker.
        dash: Its line, as SVG says it; None for a solid one.
    """

    key: str
    colour: str
    shape: str
    dash: str | None


def look(index: int) -> Look:
    """How the series of that number looks; those of the first 210 all look different."""
    return Look(
        key=_letters(index),
        colour=COLOURS[index % len(COLOURS)],
        shape=_SHAPES[index % len(_SHAPES)],
        dash=_DASHES[index % len(_DASHES)],
    )


def marker(of: Look, x: float, y: float, size: float = 5.0) -> str:
    """The marker of a series at a place."""
    if of.shape == "circle":
        return element("circle", cx=x, cy=y, r=size, fill=of.colour)
    if of.shape in ("cross", "plus"):
        return element(
            "path",
            d=_strokes(of.shape, x, y, size),
            stroke=of.colour,
            stroke_width=3.0,
            fill="none",
        )
    points = " ".join(f"{px:.2f},{py:.2f}" for px, py in _corners(of.shape, x, y, size))
    return element("polygon", points=points, fill=of.colour)


def hatch(name: str, index: int) -> str:
    """The definition of a fill: a colour, with a hatch that differs in direction and width."""
    width = 8
    strokes = ("", "M0 8L8 0", "M0 0L8 8", "M4 0V8", "M0 4H8", "M0 8L8 0M0 0L8 8")
    lines = strokes[index % len(strokes)]
    return element(
        "pattern",
        element("rect", width=width, height=width, fill=COLOURS[index % len(COLOURS)]),
        element("path", d=lines, stroke="#ffffff", stroke_width=1.6, fill="none") if lines else "",
        id=name,
        width=width,
        height=width,
        patternUnits="userSpaceOnUse",
    )


def _letters(index: int) -> str:
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def _corners(shape: str, x: float, y: float, size: float) -> list[tuple[float, float]]:
    if shape == "square":
        size *= 0.9
        return [
            (x - size, y - size),
            (x + size, y - size),
            (x + size, y + size),
            (x - size, y + size),
        ]
    if shape == "diamond":
        size *= 1.25
        return [(x, y - size), (x + size, y), (x, y + size), (x - size, y)]
    up = -1 if shape == "triangle" else 1
    size *= 1.15
    return [(x, y + up * size), (x + size, y - up * size * 0.8), (x - size, y - up * size * 0.8)]


def _strokes(shape: str, x: float, y: float, size: float) -> str:
    if shape == "plus":
        return f"M{x - size:.2f} {y:.2f}h{2 * size:.2f}M{x:.2f} {y - size:.2f}v{2 * size:.2f}"
    size *= 0.8
    return (
        f"M{x - size:.2f} {y - size:.2f}l{2 * size:.2f} {2 * size:.2f}"
        f"M{x + size:.2f} {y - size:.2f}l{-2 * size:.2f} {2 * size:.2f}"
    )
