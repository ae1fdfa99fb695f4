"""Quantities in words."""

from __future__ import annotations


def human_bytes(count: int) -> str:
    """Return a number of bytes in the largest decimal unit that keeps it above one."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
