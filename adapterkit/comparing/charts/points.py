"""Points with error bars, and the front of those that nothing beats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapterkit.comparing.charts.figures import percent, short
from adapterkit.comparing.charts.frame import Frame
from adapterkit.comparing.charts.palette import Look, marker
from adapterkit.comparing.charts.scales import scale_of
from adapterkit.comparing.charts.svg import clean, drawing, element, text

_WIDTH, _HEIGHT = 460.0, 320.0


@dataclass(frozen=True)
class Point:
    """A point.

    Attributes:
        name: What it stands for.
        look: How it looks.
        x: What it costs, above zero.
        y: What it is worth.
        spread: Of `y`, up and down; None where there is none.
    """

    name: str
    look: Look
    x: float
    y: float
    spread: float | None = None


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats: none costs as little or less and is worth more.

    Returns:
        By ascending cost. Of points with the same cost and worth all are in it.
    """
    return sorted(
        (
            each
            for each in points
            if not any(
                other.x <= each.x and other.y >= each.y and (other.x, other.y) != (each.x, each.y)
                for other in points
            )
        ),
        key=lambda point: (point.x, point.name),
    )


def pareto_chart(
    points: Sequence[Point],
    title: str,
    x_name: str,
    y_name: str,
    x_says: Callable[[float], str] = short,
) -> str:
    """Points, with the Pareto front drawn through those that nothing beats.

    Args:
        points: The points; cost is on a logarithmic axis.
        title: What the chart is called.
        x_name: What cost is.
        y_name: What worth is, a share.
        x_says: How costs are written.
    """
    heights = [each.y + sign * (each.spread or 0) for each in points for sign in (1, -1)]
    frame = Frame(
        _WIDTH, _HEIGHT, scale_of((each.x for each in points), logarithmic=True), scale_of(heights)
    )
    front = pareto_front(points)
    names = ", ".join(each.name for each in front)
    return drawing(
        _WIDTH,
        _HEIGHT,
        title,
        f"{y_name} against {x_name}. On the Pareto front: {names}.",
        frame.axes(x_name, y_name, x_says, percent),
        _front(frame, front),
        *(_point(frame, each, x_says) for each in points),
    )


def _front(frame: Frame, front: Sequence[Point]) -> str:
    if not front:
        return ""
    x, y = frame.at(front[0].x, front[0].y)
    path = f"M{x:.1f} {y:.1f}"
    for each in front[1:]:
        x, y = frame.at(each.x, each.y)
        path += f"H{x:.1f}V{y:.1f}"
    path += f"H{frame.across(frame.x.high):.1f}"
    return element(
        "path", d=path, fill="none", stroke="currentColor", stroke_width=1.5, opacity=0.55
    )


def _point(frame: Frame, point: Point, x_says: Callable[[float], str]) -> str:
    x, y = frame.at(point.x, point.y)
    parts = []
    said = f"{point.look.key} {point.name}: {percent(point.y)} at {x_says(point.x)}"
    if point.spread is not None:
        high, low = frame.up(point.y + point.spread), frame.up(point.y - point.spread)
        path = f"M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"
        parts.append(element("path", d=path, stroke=point.look.colour, fill="none"))
        said += f" (\u00b1 {percent(point.spread)})"
    parts.append(marker(point.look, x, y))
    # Beside the marker; at the right edge before it.
    before = x > frame.width - 40
    parts.append(
        text(
            x - 9 if before else x + 9,
            y - 6,
            point.look.key,
            font_weight="bold",
            text_anchor="end" if before else "start",
        )
    )
    return element("g", element("title", clean(said)), *parts, data_series=point.look.key)
