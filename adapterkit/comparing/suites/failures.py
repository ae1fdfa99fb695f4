"""Why a process failed, from its exit status and what it printed."""

from __future__ import annotations

import signal
from pathlib import Path

_KEPT_LINES = 40
_KEPT_BYTES = 20_000
_ERROR = "Error: "


def explain(status: int, log: Path) -> tuple[str, list[str]]:
    """Say why a run failed.

    Args:
        status: Its exit status; below zero the signal that killed it.
        log: What it printed.

    Returns:
        A message, and the last lines that were printed.
    """
    lines = _last_lines(log)
    name = signal_name(status)
    if name == "SIGKILL":
        return f"killed by {name}, as the kernel does where memory runs out", lines
    if name is not None:
        return f"killed by {name}", lines
    starts = [number for number, line in enumerate(lines) if line.startswith(_ERROR)]
    if starts:
        return "\n".join(lines[starts[-1] :]).removeprefix(_ERROR), lines
    spoken = [line for line in lines if line.strip()]
    return (spoken[-1] if spoken else f"ended with exit status {status} and said nothing"), lines


def signal_name(status: int) -> str | None:
    """The signal that ended a process, if one did."""
    if status >= 0:
        return None
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _last_lines(log: Path) -> list[str]:
    try:
        with open(log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _KEPT_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-_KEPT_LINES:]
