"""Running a suite: search, cells, measurements, and the record of it all."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterkit.comparing.suites.cell import Cell
from adapterkit.comparing.suites.engine import Engine
from adapterkit.comparing.suites.expanding import Axes, expand, find_axes
from adapterkit.comparing.suites.inferring import measure_inference
from adapterkit.comparing.suites.reading import SuiteFile
from adapterkit.comparing.suites.runner import Listener, Outcome, Runner
from adapterkit.comparing.suites.suite_folder import SuiteFolder
from adapterkit.runs.interruption import Interrupted, StopRequest, stop_requests
from adapterkit.runs.lock import hold

SUITES = Path("runs") / "suites"


@dataclass(frozen=True)
class Benched:
    """A suite that has been run.

    Attributes:
        path: Its folder.
        outcomes: What became of each cell, in the order of the suite.
        search: What each study of the search tried and chose.
        notes: What a reader of the table must know.
    """

    path: Path
    outcomes: tuple[Outcome, ...]
    search: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> list[Path]:
        """The directories of the finished runs."""
        return [o.folder.run.path for o in self.outcomes if o.status == "finished"]

    @property
    def failed(self) -> list[Outcome]:
        """The cells that failed."""
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]


@dataclass(frozen=True)
class How:
    """How a suite is run; none of it changes what comes out.

    Attributes:
        engine: Runs the cells.
        listener: Is told how it goes.
        retry_failed: Whether cells that failed before are tried again.
        measure: Whether inference is timed afterwards.
        command: As it was typed, to go on with and for the record.
    """

    engine: Engine
    listener: Listener
    retry_failed: bool = False
    measure: bool = True
    command: str = "adapterkit.comparing.suites.benching.bench(...)"


def bench(file: SuiteFile, output: str | Path | None, how: How) -> Benched:
    """Run what is not finished yet of a suite.

    Args:
        file: The suite.
        output: Its folder; by default one of its name under ``runs/suites``.
        how: How it is run.

    Raises:
        UserError: Data or backbones are missing or damaged, or the folder cannot be used.
        Interrupted: The user stopped it; the same command goes on.
    """
    folder = SuiteFolder(Path(output) if output is not None else SUITES / file.suite.name)
    folder = SuiteFolder(folder.path.absolute())
    folder.check(file.suite)
    axes = find_axes(file)
    with hold(folder.path), stop_requests() as stop:
        try:
            return _Benching(axes, folder, how, stop).run()
        except Interrupted:
            raise
        except KeyboardInterrupt as error:
            raise Interrupted(folder.path, how.command) from error


class _Benching:
    def __init__(self, axes: Axes, folder: SuiteFolder, how: How, stop: StopRequest) -> None:
        self._axes, self._folder, self._how, self._stop = axes, folder, how, stop
        self._suite = axes.file.suite
        self._search: tuple[dict[str, Any], ...] = ()
        self._notes: list[str] = []
        self._ended: list[Outcome] = []

    def run(self) -> Benched:
        searching = None
        if self._suite.search is not None:
            from adapterkit.comparing.suites.search import Searching

            searching = Searching(self._axes, self._folder.search / "tasks")
            self._how.listener.phase("choosing hyper-parameters on dev", searching.total)
            runner = self._runner(self._folder.search / "cells")
            ended = runner.run(searching.first(), searching.total, searching.follow_up)
            self._search = tuple(study.as_dict() for study in searching.studies)
            self._notes += searching.notes()
            self._go_on_if_whole(ended, ())
        cells = expand(self._axes, searching.chosen if searching else None)
        self._how.listener.phase("running cells", len(cells))
        order = {cell.identity: number for number, cell in enumerate(cells)}
        ended = self._runner(self._folder.cells).run(cells, follow_up=self._record)
        outcomes = tuple(sorted(ended, key=lambda outcome: order[outcome.cell.identity]))
        self._notes += _failures(outcomes)
        self._go_on_if_whole(outcomes, outcomes)
        if self._how.measure:
            self._notes += measure_inference(outcomes, self._how.listener, self._stop)
        self._go_on_if_whole((), outcomes)
        return Benched(self._folder.path, outcomes, self._search, tuple(self._notes))

    def _record(self, outcome: Outcome) -> Iterable[Cell]:
        """Keep the record up to date, so that a suite that is killed can be compared as it is."""
        self._ended.append(outcome)
        if not outcome.is_reused:
            self._write(self._ended)
        return ()

    def _write(self, outcomes: Sequence[Outcome]) -> None:
        self._folder.write(self._suite, outcomes, self._search, self._notes, self._how.command)

    def _runner(self, folder: Path) -> Runner:
        how = self._how
        return Runner(folder, how.engine, how.listener, self._stop, how.retry_failed)

    def _go_on_if_whole(self, ended: Iterable[Outcome], outcomes: Sequence[Outcome]) -> None:
        """Write the record; stop here if the user asked to, or a cell was stopped."""
        self._write(outcomes)
        if self._stop.asked or any(outcome.status == "stopped" for outcome in ended):
            raise Interrupted(self._folder.path, self._how.command)


def _failures(outcomes: Sequence[Outcome]) -> list[str]:
    failed = [outcome.cell.name for outcome in outcomes if outcome.status == "failed"]
    if not failed:
        return []
    return [f"{len(failed)} of {len(outcomes)} runs failed and are left out: {'; '.join(failed)}"]


def retry_command(file: Path, output: Path) -> str:
    """What to type to try failed cells again."""
    return shlex.join(["adapterkit", "bench", str(file), "--output", str(output), "--retry-failed"])
