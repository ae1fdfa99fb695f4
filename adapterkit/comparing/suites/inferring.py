"""Timing the inference of a suite's runs, one after another in processes of their own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from adapterkit.comparing.measuring import INFERENCE_FILE
from adapterkit.comparing.suites.cell import Cell
from adapterkit.comparing.suites.failures import explain
from adapterkit.comparing.suites.local_engine import LocalEngine
from adapterkit.comparing.suites.runner import Listener, Outcome
from adapterkit.runs.interruption import StopRequest

_POLL_SECONDS = 0.2


def measure_inference(
    outcomes: Sequence[Outcome], listener: Listener, stop: StopRequest
) -> list[str]:
    """Time one run of each row that has none timed; seeds of a row compute the same.

    Args:
        outcomes: What became of the suite's cells.
        listener: Told how it goes.
        stop: Whether the user asked to stop.

    Returns:
        Notes on what could not be timed.
    """
    wanted = _untimed(outcomes)
    if wanted:
        listener.say(f"timing the inference of {len(wanted)} runs, one after another")
    notes = []
    for outcome in wanted:
        status = _measure(outcome.folder.path, stop)
        if stop.asked:
            break
        if status != 0:
            message, _ = explain(status, outcome.folder.log_path)
            first = message.splitlines()[0]
            notes.append(f"inference of {outcome.cell.name} could not be timed: {first}")
            listener.say(notes[-1])
    return notes


def measuring_command(folder: Path, threads: int) -> list[str]:
    """The command that times the run in a cell's folder."""
    run = str(folder / "run")
    module = "adapterkit.comparing.measuring"
    return [sys.executable, "-m", module, run, "--threads", str(threads)]


def _measure(folder: Path, stop: StopRequest) -> int:
    engine = LocalEngine(1, threads=1, command=measuring_command)
    try:
        engine.start(folder)
        while not (ended := engine.ended(_POLL_SECONDS)):
            if stop.asked:
                return -1
        return ended[0].status
    finally:
        engine.kill()


def _untimed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    rows: dict[tuple[object, ...], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.status == "finished":
            rows.setdefault(_row(outcome.cell), []).append(outcome)
    return [
        row[0]
        for row in rows.values()
        if not any((outcome.folder.run.path / INFERENCE_FILE).is_file() for outcome in row)
    ]


def _row(cell: Cell) -> tuple[object, ...]:
    return (cell.task, cell.plan, cell.request.backbone, cell.variant)
