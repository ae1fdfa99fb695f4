"""What runs the processes of cells."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Command = Callable[[Path, int], list[str]]
"""The command that runs the cell in a folder with so many processor threads."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
"""What libraries read the number of their threads from as they are loaded."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        folder: The cell's folder.
        status: Exit status; below zero the signal that killed it.
    """

    folder: Path
    status: int


class Engine(Protocol):
    """Runs several processes side by side."""

    @property
    def slots(self) -> int:
        """How many."""

    @property
    def threads(self) -> int:
        """Processor threads of each."""

    def start(self, folder: Path) -> None:
        """Start the process of the cell in `folder`; what it prints is appended to its log."""

    def ended(self, seconds: float) -> list[Ended]:
        """The processes that have ended since the last call; waits so long for one."""

    def stop(self) -> None:
        """Ask all processes to save what they have and end."""

    def kill(self) -> None:
        """End all processes at once."""


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that keep libraries to so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))
