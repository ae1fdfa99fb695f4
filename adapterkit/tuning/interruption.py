"""Stopping at the next update when the user asks, so that nothing trained is lost."""

from __future__ import annotations

import contextlib
import shlex
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Training was stopped and can go on.

    Args:
        path: The run directory to resume.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(str(path))

    def __str__(self) -> str:
        return (
            f"Stopped; everything trained so far is kept in {self.path}\n"
            f"  go on with: {resume_command(self.path)}"
        )


def resume_command(path: Path) -> str:
    """What to type to go on with the run in `path`."""
    return f"adapterkit tune --resume --output {shlex.quote(str(path))}"


class StopRequest:
    """Whether a stop was asked for."""

    def __init__(self) -> None:
        self.asked = False

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one interrupts at once.

    Signals can only be handled in the main thread; elsewhere nothing is ever asked for.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, request._ask) for kind in kinds}
    try:
        yield request
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
