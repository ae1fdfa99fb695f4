"""Bars: a figure beside each name, or parts that make a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapterkit.comparing.charts.figures import short
from adapterkit.comparing.charts.palette import COLOURS, hatch
from adapterkit.comparing.charts.scales import scale_of
from adapterkit.comparing.charts.svg import clean, drawing, element, text

_WIDTH, _RIGHT, _ROW, _BAR = 640.0, 120.0, 26.0, 16.0


@dataclass(frozen=True)
class Bar:
    """A bar.

    Attributes:
        name: What stands before it.
        value: How long it is; None where there is nothing to draw.
        said: What stands behind it.
    """

    name: str
    value: float | None
    said: str


def bar_chart(bars: Sequence[Bar], title: str, description: str, left: float = 190.0) -> str:
    """Bars to the right for figures above zero, and to the left for those below.

    Args:
        bars: From top to bottom.
        title: What the chart is called.
        description: What it shows, for those who cannot see it.
        left: Room for names.
    """
    values = [bar.value for bar in bars if bar.value is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    room = _WIDTH - left - _RIGHT - (_RIGHT if low < 0 else 0)
    unit = room / ((high - low) or 1.0)
    zero = left + (_RIGHT if low < 0 else 0) - low * unit
    height = _ROW * len(bars) + 12
    parts = [_bar(bar, zero, unit, 6 + _ROW * row, left) for row, bar in enumerate(bars)]
    axis = element(
        "line", x1=zero, x2=zero, y1=4, y2=height - 4, stroke="currentColor", stroke_width=1
    )
    return drawing(_WIDTH, height, title, description, *parts, axis)


def stacked_chart(
    names: Sequence[str],
    parts: Sequence[str],
    values: Sequence[Sequence[float]],
    title: str,
    prefix: str,
    says: Callable[[float], str] = short,
    left: float = 60.0,
) -> str:
    """One bar a name, made of parts with a hatch each.

    Args:
        names: From top to bottom.
        parts: The names of the parts, from left to right.
        values: For each name the size of each part.
        title: What the chart is called.
        prefix: Starts the names of the hatches, which must differ between drawings of a page.
        says: How sizes are written.
        left: Room for names.
    """
    longest = max((sum(row) for row in values), default=0.0) or 1.0
    scale = scale_of([longest], start=0.0)
    unit = (_WIDTH - left - 24) / scale.high
    rows = []
    for number, (name, sizes) in enumerate(zip(names, values, strict=True)):
        y, x = 6 + _ROW * number, left
        rows.append(text(left - 8, y + 13, name, text_anchor="end", font_weight="bold"))
        for place, size in enumerate(sizes):
            rows.append(
                _part(f"{prefix}{place}", x, y, size * unit, f"{parts[place]}: {says(size)}")
            )
            x += size * unit
        rows.append(text(x + 6, y + 13, says(sum(sizes)), opacity=0.8))
    said = ". ".join(
        f"{name}: "
        + ", ".join(f"{part} {says(size)}" for part, size in zip(parts, row, strict=True))
        for name, row in zip(names, values, strict=True)
    )
    defined = element("defs", *(hatch(f"{prefix}{place}", place) for place in range(len(parts))))
    return drawing(_WIDTH, _ROW * len(names) + 12, title, said, defined, *rows)


def swatch(prefix: str, place: int) -> str:
    """A sample of the hatch of a part, for a key; a drawing of the same page defines it."""
    box = element("rect", width=22, height=14, fill=f"url(#{prefix}{place})", stroke="currentColor")
    return element("svg", box, width=22, height=14, aria_hidden="true", _class="swatch")


def _bar(bar: Bar, zero: float, unit: float, y: float, left: float) -> str:
    name = text(left - 8, y + 13, bar.name, text_anchor="end")
    if bar.value is None:
        return name + text(zero + 6, y + 13, bar.said, opacity=0.65)
    length = abs(bar.value) * unit
    start = zero if bar.value >= 0 else zero - length
    fill = COLOURS[0] if bar.value >= 0 else COLOURS[1]
    drawn = element("rect", x=start, y=y, width=max(length, 0.5), height=_BAR, fill=fill)
    if bar.value >= 0:
        return name + drawn + text(start + length + 6, y + 13, bar.said)
    return name + drawn + text(start - 6, y + 13, bar.said, text_anchor="end")


def _part(hatched: str, x: float, y: float, width: float, said: str) -> str:
    return element(
        "rect",
        element("title", clean(said)),
        x=x,
        y=y,
        width=width,
        height=_BAR,
        fill=f"url(#{hatched})",
        stroke="currentColor",
        stroke_width=0.6,
    )
