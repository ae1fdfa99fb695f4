"""Lines: what becomes of a figure along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from adapterkit.comparing.charts.figures import percent, short
from adapterkit.comparing.charts.frame import Frame
from adapterkit.comparing.charts.palette import Look, marker
from adapterkit.comparing.charts.scales import Scale, scale_of
from adapterkit.comparing.charts.svg import clean, drawing, element, text

_WIDTH, _HEIGHT, _LETTER = 640.0, 340.0, 11.0


@dataclass(frozen=True)
class Line:
    """A line.

    Attributes:
        name: What it stands for.
        look: How it looks.
        places: Its places (along, up), ascending.
    """

    name: str
    look: Look
    places: tuple[tuple[float, float], ...]


def line_chart(
    lines: Sequence[Line],
    title: str,
    x_name: str,
    y_name: str,
    x_says: Callable[[float], str] = short,
    low: float | None = None,
) -> str:
    """Lines with a marker at each place, and their key letters at the end.

    Args:
        lines: The lines; lines of the same look are of one series.
        title: What the chart is called.
        x_name: What lies along.
        y_name: What lies up, a share.
        x_says: How what lies along is written.
        low: Where the vertical axis starts if lines go below; they are cut off there.
    """
    along = [x for line in lines for x, _ in line.places]
    up = [y if low is None else max(y, low) for line in lines for _, y in line.places]
    frame = Frame(_WIDTH, _HEIGHT, _whole(along), scale_of(up))
    said = "; ".join(
        f"{line.name} ends at {percent(line.places[-1][1])}" for line in lines if line.places
    )
    return drawing(
        _WIDTH,
        _HEIGHT,
        title,
        f"{y_name} by {x_name}. {said}.",
        frame.axes(x_name, y_name, x_says, percent),
        *_lines(frame, [line for line in lines if line.places], low),
    )


def _whole(values: Sequence[float]) -> Scale:
    """A scale that ends where the lines do, with room for their letters."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return Scale(low - 0.03 * ((high - low) or 1.0), high + 0.05 * ((high - low) or 1.0))


def _lines(frame: Frame, lines: Sequence[Line], low: float | None) -> list[str]:
    placed = [
        [frame.at(x, y if low is None else max(y, low)) for x, y in line.places] for line in lines
    ]
    heights = apart([places[-1][1] for places in placed], _LETTER)
    return [
        _line(line, places, height)
        for line, places, height in zip(lines, placed, heights, strict=True)
    ]


def _line(line: Line, places: Sequence[tuple[float, float]], letter: float) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return element(
        "g",
        element("title", clean(f"{line.look.key} {line.name}")),
        element(
            "path",
            d=path,
            fill="none",
            stroke=line.look.colour,
            stroke_width=1.8,
            stroke_dasharray=line.look.dash,
        ),
        *(marker(line.look, x, y, 3.2) for x, y in places),
        text(places[-1][0] + 8, letter + 4, line.look.key, font_weight="bold", font_size=11),
        data_series=line.look.key,
    )


def apart(heights: Sequence[float], least: float) -> list[float]:
    """Move heights apart until no two are closer than `least`; their order is kept."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for _ in range(100):
        close = [
            (above, below)
            for above, below in pairwise(order)
            if moved[below] - moved[above] < least - 1e-6
        ]
        if not close:
            break
        for above, below in close:
            push = (least - (moved[below] - moved[above])) / 2
            moved[above] -= push
            moved[below] += push
    return moved
