"""Running cells on this machine."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from adapterkit.comparing.suites.engine import Command, Ended, cores, thread_environment
from adapterkit.comparing.suites.folder import CellFolder
from adapterkit.comparing.suites.process import (
    close_process,
    kill_process,
    start_process,
    stop_process,
)
from adapterkit.comparing.suites.worker import worker_command

_POLL_SECONDS = 0.05


class LocalEngine:
    """Runs processes side by side, the cores of this machine shared out evenly among them.

    Args:
        jobs: How many at once.
        threads: Processor threads of each; by default its share of the cores.
        command: What runs a cell.
    """

    def __init__(
        self, jobs: int = 1, threads: int | None = None, command: Command = worker_command
    ) -> None:
        self.slots = jobs
        self.threads = threads or max(1, cores() // jobs)
        self._command = command
        self._running: dict[Path, subprocess.Popen[bytes]] = {}

    def start(self, folder: Path) -> None:
        """Start the process of the cell in `folder`."""
        self._running[folder] = start_process(
            self._command(folder, self.threads),
            CellFolder(folder).log_path,
            thread_environment(self.threads),
        )

    def ended(self, seconds: float) -> list[Ended]:
        """The processes that have ended since the last call."""
        deadline = time.monotonic() + seconds
        while True:
            found = [
                Ended(folder, status)
                for folder, process in self._running.items()
                if (status := process.poll()) is not None
            ]
            for process in found:
                close_process(self._running.pop(process.folder))
            if found or time.monotonic() >= deadline:
                return found
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ask all processes to save what they have and end."""
        for process in self._running.values():
            stop_process(process)

    def kill(self) -> None:
        """End all processes at once."""
        while self._running:
            _, process = self._running.popitem()
            kill_process(process)
