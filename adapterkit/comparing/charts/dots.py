"""Dots: a figure of each series for each of several things, one below the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapterkit.comparing.charts.figures import percent
from adapterkit.comparing.charts.palette import Look, marker
from adapterkit.comparing.charts.scales import scale_of
from adapterkit.comparing.charts.svg import clean, drawing, element, text

_WIDTH, _RIGHT, _TOP, _BOTTOM, _LANE = 640.0, 16.0, 6.0, 40.0, 12.0


@dataclass(frozen=True)
class Dot:
    """A figure.

    Attributes:
        name: Of its series.
        look: Of its series.
        value: The figure, a share.
        spread: Up and down; None where there is none.
    """

    name: str
    look: Look
    value: float
    spread: float | None


def dot_chart(
    rows: Sequence[tuple[str, Sequence[Dot]]], title: str, x_name: str, left: float = 130.0
) -> str:
    """Dots with their spread, each in a lane of its own, so that none hides another.

    Args:
        rows: What each row is of, and its dots from top to bottom.
        title: What the chart is called.
        x_name: What the figures are.
        left: Room for the names of rows.
    """
    dots = [dot for _, row in rows for dot in row]
    ends = [dot.value + sign * (dot.spread or 0) for dot in dots for sign in (1, -1)]
    scale = scale_of(ends)
    height = _TOP + _BOTTOM + sum(_height(row) for _, row in rows)
    bottom = height - _BOTTOM

    def across(value: float) -> float:
        return left + scale.share(value) * (_WIDTH - left - _RIGHT)

    parts = [_tick(across(tick), bottom, percent(tick)) for tick in scale.ticks()]
    y = _TOP
    for name, row in rows:
        middle = y + _height(row) / 2
        parts.append(text(left - 10, middle + 4, name, text_anchor="end"))
        parts.append(_rule(y, left))
        for lane, dot in enumerate(row):
            parts.append(_dot(dot, across, y + _LANE * (lane + 1)))
        y += _height(row)
    parts.append(_rule(y, left))
    parts.append(text((left + _WIDTH - _RIGHT) / 2, height - 6, x_name, text_anchor="middle"))
    said = "; ".join(
        f"{name}: " + ", ".join(f"{dot.name} {percent(dot.value)}" for dot in row)
        for name, row in rows
    )
    return drawing(_WIDTH, height, title, said, *parts)


def _height(row: Sequence[Dot]) -> float:
    return _LANE * (len(row) + 1)


def _tick(x: float, bottom: float, said: str) -> str:
    line = element("line", x1=x, x2=x, y1=_TOP, y2=bottom, stroke="currentColor", opacity=0.13)
    return line + text(x, bottom + 16, said, text_anchor="middle", opacity=0.75)


def _rule(y: float, left: float) -> str:
    return element(
        "line", x1=left, x2=_WIDTH - _RIGHT, y1=y, y2=y, stroke="currentColor", opacity=0.45
    )


def _dot(dot: Dot, across: Callable[[float], float], y: float) -> str:
    x = across(dot.value)
    said = f"{dot.look.key} {dot.name}: {percent(dot.value)}"
    parts = []
    if dot.spread is not None:
        low, high = across(dot.value - dot.spread), across(dot.value + dot.spread)
        parts.append(
            element("line", x1=low, x2=high, y1=y, y2=y, stroke=dot.look.colour, stroke_width=1.5)
        )
        said += f" (\u00b1 {percent(dot.spread)})"
    parts.append(marker(dot.look, x, y, 4.0))
    end = x if dot.spread is None else across(dot.value + dot.spread)
    parts.append(text(end + 8, y + 4, dot.look.key, font_size=10, font_weight="bold"))
    return element("g", element("title", clean(said)), *parts, data_series=dot.look.key)
