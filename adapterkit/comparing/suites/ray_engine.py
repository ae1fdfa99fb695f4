"""Running cells on a Ray cluster whose machines share the suite's folder."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapterkit.comparing.suites.engine import Command, Ended, thread_environment
from adapterkit.comparing.suites.folder import CellFolder
from adapterkit.comparing.suites.process import (
    kill_process,
    start_process,
    stop_process,
)
from adapterkit.comparing.suites.worker import STOPPED, worker_command
from adapterkit.runs.errors import UserError

_LOST = -9
"""Status of a process whose machine was lost more often than Ray tries again."""
_RETRIES = 3
_POLL_SECONDS = 0.1
_STOP = ".stop"
_CARRIED = ("ADAPTERKIT_", "HF_", "XDG_CACHE_HOME")
"""Environment variables that the cells read, by how they begin."""


class RayEngine:
    """Runs processes on the Ray cluster of ``RAY_ADDRESS``, or on one started here.

    A cell whose worker is lost is started again elsewhere, and goes on from its last checkpoint.

    Args:
        jobs: How many at once; by default one for each GPU or, without any, each core.
        threads: Processor threads of each; by default its share of its machine.
        command: What runs a cell.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(
        self,
        jobs: int | None = None,
        threads: int | None = None,
        command: Command = worker_command,
    ) -> None:
        self._ray = _connected()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        processors = [int(resources.get("CPU", 0)) for resources in nodes]
        processors = [count for count in processors if count]
        gpus = int(sum(resources.get("GPU", 0) for resources in nodes))
        self.slots = jobs or gpus or sum(processors)
        share = math.ceil(self.slots / len(processors))
        self.threads = threads or max(1, min(processors) // share)
        self._command = command
        self._remote = self._ray.remote(
            num_cpus=self.threads, num_gpus=1 if gpus else 0, max_retries=_RETRIES
        )(run_process)
        self._running: dict[Any, Path] = {}

    def start(self, folder: Path) -> None:
        """Start the process of the cell in `folder`."""
        (folder / _STOP).unlink(missing_ok=True)
        environment = {n: v for n, v in os.environ.items() if n.startswith(_CARRIED)}
        environment |= thread_environment(self.threads)
        command = self._command(folder, self.threads)
        self._running[self._remote.remote(str(folder), command, environment)] = folder

    def ended(self, seconds: float) -> list[Ended]:
        """The processes that have ended since the last call."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [Ended(self._running.pop(reference), self._status(reference)) for reference in ready]

    def stop(self) -> None:
        """Ask all processes to save what they have and end."""
        for folder in self._running.values():
            (folder / _STOP).touch()

    def kill(self) -> None:
        """End all processes at once."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running = {}

    def _status(self, reference: Any) -> int:
        try:
            return int(self._ray.get(reference))
        except self._ray.exceptions.RayError:
            return _LOST


def run_process(folder: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a cell's process to its end; this is what a Ray worker does.

    Should the worker be killed, the process stops by itself, as its standard input closes.

    Returns:
        Its exit status; below zero the signal that killed it.
    """
    stop = Path(folder) / _STOP
    if stop.exists():
        return STOPPED
    process = start_process(command, CellFolder(Path(folder)).log_path, environment)
    is_asked = False
    try:
        while (status := process.poll()) is None:
            if stop.exists() and not is_asked:
                is_asked = True
                stop_process(process)
            time.sleep(_POLL_SECONDS)
    finally:
        kill_process(process)
    return status


def _connected() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "running cells on a Ray cluster needs Ray, which is not installed",
            where="--engine ray",
            hint="pip install 'adapterkit[ray]', or use --engine local",
        ) from error
    if not ray.is_initialized():
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                "the Ray cluster cannot be reached",
                where="--engine ray",
                found=str(error).splitlines()[0],
                allowed="the address of a cluster in RAY_ADDRESS, or none to start one here",
            ) from error
    return ray
