"""The frame of a chart: two axes with round figures, grid lines and names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapterkit.comparing.charts.figures import short
from adapterkit.comparing.charts.scales import Scale
from adapterkit.comparing.charts.svg import element, text

_LEFT, _RIGHT, _TOP, _BOTTOM = 68.0, 16.0, 14.0, 44.0


@dataclass(frozen=True)
class Frame:
    """Where figures lie in a drawing.

    Attributes:
        width: Of the drawing.
        height: Of the drawing.
        x: The axis from left to right.
        y: The axis from bottom to top.
    """

    width: float
    height: float
    x: Scale
    y: Scale

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of two figures."""
        return self.across(x), self.up(y)

    def across(self, x: float) -> float:
        """How far from the left a figure of the horizontal axis lies."""
        return _LEFT + self.x.share(x) * (self.width - _LEFT - _RIGHT)

    def up(self, y: float) -> float:
        """How far from the top a figure of the vertical axis lies."""
        return self.height - _BOTTOM - self.y.share(y) * (self.height - _TOP - _BOTTOM)

    def axes(
        self,
        x_name: str,
        y_name: str,
        x_says: Callable[[float], str] = short,
        y_says: Callable[[float], str] = short,
    ) -> str:
        """Grid lines, figures and the names of the axes."""
        bottom, right = self.height - _BOTTOM, self.width - _RIGHT
        parts = []
        for tick in self.y.ticks():
            y = self.up(tick)
            parts.append(_line(_LEFT, y, right, y))
            parts.append(text(_LEFT - 6, y + 4, y_says(tick), text_anchor="end", opacity=0.75))
        for tick in self.x.ticks():
            x = self.across(tick)
            parts.append(_line(x, _TOP, x, bottom))
            parts.append(text(x, bottom + 16, x_says(tick), text_anchor="middle", opacity=0.75))
        parts.append(
            element("path", d=f"M{_LEFT} {_TOP}V{bottom}H{right}", **_STROKE, stroke_width=1)
        )
        middle = (_LEFT + right) / 2
        parts.append(text(middle, self.height - 8, x_name, text_anchor="middle"))
        turn = f"translate(12 {(_TOP + bottom) / 2:.2f}) rotate(-90)"
        parts.append(element("g", text(0, 0, y_name, text_anchor="middle"), transform=turn))
        return "".join(parts)


_STROKE = {"stroke": "currentColor", "fill": "none"}


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke="currentColor", opacity=0.13)
