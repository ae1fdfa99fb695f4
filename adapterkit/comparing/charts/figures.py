"""Figures in few digits, for axes and labels."""

from __future__ import annotations

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def short(value: float) -> str:
    """A figure with a unit prefix where it is large: 1.5M, 20k, 0.85."""
    for size, prefix in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g}{prefix}"
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A share in hundredths, as scores are printed."""
    return f"{100 * share:.2f}"


def signed_percent(share: float) -> str:
    """A difference of shares in hundredths, with its sign."""
    return f"{100 * share:+.2f}".replace("-", "\u2212")
