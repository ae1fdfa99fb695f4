"""Stopping at the next update when the user asks, so that nothing learned is lost."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Work was stopped and can go on.

    Args:
        path: The directory to resume.
        command: What to type to go on.
    """

    def __init__(self, path: Path, command: str) -> None:
        self.path, self.command = path, command
        super().__init__(str(path))

    def __str__(self) -> str:
        return (
            f"Stopped; everything trained so far is kept in {self.path}\n"
            f"  go on with: {self.command}"
        )


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
