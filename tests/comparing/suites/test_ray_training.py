"""A suite that is really trained on a local Ray cluster of two workers, one killed mid-run."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from adapterkit.comparing.suites import local_engine
from adapterkit.runs.directory import RunDirectory
from tests.cli.conftest import cli
from tests.tuning.conftest import learned

__all__ = ["cli"]

pytestmark = pytest.mark.slow

SECONDS = 120.0
OPTIONS = "options: {epochs: 8, batch_tokens: 60}\n"
DIFFER = {"runs", "train_seconds_mean", "train_seconds_sd", "peak_bytes_mean", "peak_bytes_sd"}
"""Columns of where and when a run was made."""


def kill_a_worker(cells: Path, killed: list[tuple[Path, int]]) -> None:
    """Kill the Ray worker of the first run that has saved a checkpoint."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for log in cells.glob("*/run/log.jsonl"):
            if b"train_seconds" in log.read_bytes() and not (log.parent / "run.json").exists():
                worker = worker_of(log.parents[1])
                if worker is not None:
                    os.kill(worker, signal.SIGKILL)
                    killed.append((log.parent, worker))
                    return
        time.sleep(0.01)


def worker_of(cell: Path) -> int | None:
    """The process that started the one which trains a cell."""
    for process in psutil.Process().children(recursive=True):
        try:
            if str(cell) in process.cmdline():
                return process.ppid()
        except psutil.NoSuchProcess:
            continue
    return None


def rows(outcome) -> list[dict]:
    assert outcome.status == 0, outcome.stderr
    (table,) = outcome.json["tables"]
    return [{n: v for n, v in row.items() if n not in DIFFER} for row in table["rows"]]


def test_a_cluster_that_loses_a_worker_ends_with_the_table_of_one_machine(
    cluster, cli, suite, tmp_path, monkeypatch
):
    file = suite("[lora, full]", OPTIONS, seeds=2)
    # The cluster has two cores, and sums in another number of threads differ in their last bits.
    monkeypatch.setattr(local_engine, "cores", lambda: 2)
    command = ("bench", file, "--jobs", "2", "--no-measure", "--json")
    killed = []
    killer = threading.Thread(target=kill_a_worker, args=(tmp_path / "ray" / "cells", killed))
    killer.start()
    on_ray = cli(*command, "--engine", "ray", "--output", tmp_path / "ray")
    killer.join()
    on_local = cli(*command, "--output", tmp_path / "local")

    ((run, worker),) = killed
    assert worker != os.getpid()
    events = [line.get("event") for line in RunDirectory(run).read_log()]
    assert (events.count("start"), events.count("resume")) == (1, 1)
    assert rows(on_ray) == rows(on_local)
    assert [(row["plan"], row["score_n"]) for row in rows(on_ray)] == [
        ("0-2:adapter(lora)", 2),
        ("0-2:full", 2),
    ]
    for cell in (tmp_path / "local" / "cells").iterdir():
        assert learned(cell / "run") == learned(tmp_path / "ray" / "cells" / cell.name / "run")
