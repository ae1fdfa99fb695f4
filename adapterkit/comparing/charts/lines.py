"""Lines: what becomes of a figure along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapterkit.comparing.charts.figures import percent, short
from adapterkit.comparing.charts.frame import Frame
from adapterkit.comparing.charts.palette import Look, marker
from adapterkit.comparing.charts.scales import Scale, scale_of
from adapterkit.comparing.charts.svg import clean, drawing, element, text

_WIDTH, _HEIGHT = 640.0, 340.0


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
        *(_line(frame, line, low) for line in lines if line.places),
    )


def _whole(values: Sequence[float]) -> Scale:
    """A scale that ends where the lines do, with room for their letters."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return Scale(low - 0.03 * ((high - low) or 1.0), high + 0.05 * ((high - low) or 1.0))


def _line(frame: Frame, line: Line, low: float | None) -> str:
    places = [frame.at(x, y if low is None else max(y, low)) for x, y in line.places]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    end_x, end_y = places[-1]
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
        text(end_x + 7, end_y + 4, line.look.key, font_weight="bold", font_size=11),
    )
