"""Cells that need no data, and a listener that remembers."""

from __future__ import annotations

import sys
from pathlib import Path

from adapterkit.comparing.suites.cell import Cell
from adapterkit.comparing.suites.inputs import Inputs
from adapterkit.comparing.suites.local_engine import LocalEngine
from adapterkit.comparing.suites.runner import Runner
from adapterkit.runs.interruption import StopRequest
from adapterkit.tuning.request import Request

FAKE = Path(__file__).with_name("fake_worker.py")
INPUTS = Inputs(
    {"name": "toy", "labels": ["A"]},
    {"train": "1", "dev": "2", "test": "3"},
    "sha256:4",
    {"adapterkit": "0", "source": "5"},
)


def cell(plan: str = "quick", seed: int = 0, **changes) -> Cell:
    """A cell; `fake_worker` says what the plans do."""
    return Cell(Request(task="toy", plan=plan, seed=seed, **changes), INPUTS, plan)


def fake_command(folder: Path, threads: int) -> list[str]:
    return [sys.executable, str(FAKE), str(folder), str(threads)]


class Remembering:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.began, self.over, self.standings, self.said = [], [], [], []

    def phase(self, name, total):
        self.said.append(f"{name}: {total}")

    def started(self, cell, standing):
        self.began.append(cell)
        self.standings.append(standing)

    def ended(self, outcome, standing):
        self.over.append(outcome)
        self.standings.append(standing)

    def waiting(self, standing):
        self.standings.append(standing)

    def say(self, message):
        self.said.append(message)


def runner(folder, jobs=1, *, stop=None, retry_failed=False, listener=None, threads=None):
    """A runner of `fake_worker` processes."""
    engine = LocalEngine(jobs, threads, fake_command)
    told = listener or Remembering()
    return Runner(folder, engine, told, stop or StopRequest(), retry_failed)


def attempts(outcome_or_folder) -> list[list[str]]:
    """When each process of a cell was started, with its threads; and when it ended by itself."""
    folder = getattr(outcome_or_folder, "folder", outcome_or_folder)
    lines = (folder.path / "attempts").read_text().splitlines()
    return [line.split() for line in lines if "ended" not in line]


def spans(outcome) -> tuple[float, float]:
    """When a cell's process was started and when it ended."""
    lines = (outcome.folder.path / "attempts").read_text().splitlines()
    return float(lines[0].split()[0]), float(lines[-1].split()[0])
