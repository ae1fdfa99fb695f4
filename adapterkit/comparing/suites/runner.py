"""Running cells: each once, several side by side, whatever happens to the others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from adapterkit.comparing.suites.cell import Cell
from adapterkit.comparing.suites.engine import Ended, Engine
from adapterkit.comparing.suites.folder import CellFolder
from adapterkit.comparing.suites.standing import Durations, Standing
from adapterkit.comparing.suites.worker import STOPPED
from adapterkit.runs.interruption import StopRequest

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        cell: The cell.
        folder: Where it was run.
        status: ``stopped`` cells go on when the suite is run again.
        seconds: What it took, over all its sessions if it was finished before.
        is_reused: Whether it was finished, or had failed, before this time.
        error: Why it failed.
    """

    cell: Cell
    folder: CellFolder
    status: Literal["finished", "failed", "stopped"]
    seconds: float
    is_reused: bool = False
    error: str | None = None


class Listener(Protocol):
    """Is told how a suite goes."""

    def phase(self, name: str, total: int) -> None:
        """So many cells are run next."""

    def started(self, cell: Cell, standing: Standing) -> None:
        """A cell was started."""

    def ended(self, outcome: Outcome, standing: Standing) -> None:
        """A cell has ended, or had before."""

    def waiting(self, standing: Standing) -> None:
        """Some time has passed."""

    def say(self, message: str) -> None:
        """Tell something that should stay readable."""


FollowUp = Callable[[Outcome], Iterable[Cell]]


class Runner:
    """Runs cells in folders of their own below one folder.

    A finished cell is never run again and a stopped one goes on. One that failed keeps its error,
    and is tried again only if that is asked for.

    Args:
        folder: Holds one folder a cell.
        engine: Runs their processes.
        listener: Is told how it goes.
        stop: Whether the user asked to stop.
        retry_failed: Whether cells that failed before are tried again.
    """

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        listener: Listener,
        stop: StopRequest,
        retry_failed: bool = False,
    ) -> None:
        self._folder, self._engine, self._listener = folder, engine, listener
        self._stop, self._retry_failed = stop, retry_failed
        self._durations = Durations()
        self._queue: deque[Cell] = deque()
        self._running: dict[Path, _Running] = {}
        self._outcomes: list[Outcome] = []
        self._total = 0

    def run(
        self, cells: Iterable[Cell], total: int | None = None, follow_up: FollowUp | None = None
    ) -> list[Outcome]:
        """Run cells, until all have ended or the user asks to stop.

        Args:
            cells: The cells to begin with.
            total: How many there will be, if more follow.
            follow_up: Says which cells follow when one has ended.

        Returns:
            What became of each, in the order in which they ended.
        """
        self._queue = deque(cells)
        self._outcomes = []
        self._total = len(self._queue) if total is None else total
        try:
            self._work(follow_up or _nothing)
        except BaseException:
            # Nobody would wait for what is left running; it can be resumed.
            self._engine.kill()
            raise
        return self._outcomes

    def _work(self, follow_up: FollowUp) -> None:
        is_stopping = False
        while self._queue or self._running:
            if self._stop.asked and not is_stopping:
                is_stopping = True
                self._queue.clear()
                self._engine.stop()
                self._listener.say("stopping: what is running saves what it has learned")
            while self._queue and len(self._running) < self._engine.slots and not self._stop.asked:
                self._begin(self._queue.popleft(), follow_up)
            if not self._running:
                continue
            for ended in self._engine.ended(_POLL_SECONDS):
                self._end(ended, follow_up)
            self._listener.waiting(self._standing())

    def _begin(self, cell: Cell, follow_up: FollowUp) -> None:
        folder = CellFolder(self._folder / cell.folder_name)
        state = folder.state()
        if state == "finished":
            folder.drop_error()
            self._keep(Outcome(cell, folder, "finished", _seconds(folder), True), follow_up)
            return
        if state == "failed":
            if not self._retry_failed:
                error = str(folder.error().get("message", "it is not recorded why"))
                self._keep(Outcome(cell, folder, "failed", 0.0, True, error), follow_up)
                return
            folder.prepare_again()
        folder.open(cell)
        resumed = folder.run.state_path.exists()
        self._running[folder.path] = _Running(cell, time.monotonic(), resumed)
        self._engine.start(folder.path)
        self._listener.started(cell, self._standing())

    def _end(self, ended: Ended, follow_up: FollowUp) -> None:
        running = self._running.pop(ended.folder)
        folder = CellFolder(ended.folder)
        seconds = time.monotonic() - running.started
        if ended.status == 0 and folder.manifest() is not None:
            folder.drop_error()
            outcome = Outcome(running.cell, folder, "finished", seconds)
        elif ended.status == STOPPED or (self._stop.asked and ended.status < 0):
            outcome = Outcome(running.cell, folder, "stopped", seconds)
        else:
            error = folder.keep_error(ended.status, running.resumed, seconds)
            outcome = Outcome(running.cell, folder, "failed", seconds, error=error)
        self._keep(outcome, follow_up)

    def _keep(self, outcome: Outcome, follow_up: FollowUp) -> None:
        self._outcomes.append(outcome)
        if outcome.status == "finished":
            self._durations.add(outcome.cell, outcome.seconds)
        if not self._stop.asked and outcome.status != "stopped":
            self._queue.extend(follow_up(outcome))
        self._listener.ended(outcome, self._standing())

    def _standing(self) -> Standing:
        now = time.monotonic()
        found = [outcome.status for outcome in self._outcomes]
        spent = [(running.cell, now - running.started) for running in self._running.values()]
        known = len(found) + len(spent) + len(self._queue)
        left = self._durations.left(
            self._queue, spent, max(0, self._total - known), self._engine.slots
        )
        return Standing(
            total=max(self._total, known),
            done=found.count("finished"),
            running=len(spent),
            failed=found.count("failed"),
            seconds_left=left,
        )


@dataclass(frozen=True)
class _Running:
    cell: Cell
    started: float
    resumed: bool


def _nothing(outcome: Outcome) -> Iterable[Cell]:
    return ()


def _seconds(folder: CellFolder) -> float:
    """What a finished run took, starting Python left out."""
    manifest = folder.manifest()
    if manifest is None:
        return 0.0
    timings = manifest.timings
    return timings.train_seconds + timings.evaluate_seconds + timings.cache_seconds
