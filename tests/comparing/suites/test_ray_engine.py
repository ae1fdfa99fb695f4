"""Cells on a local Ray cluster of two workers, with processes that train nothing."""

import os
import signal
import threading
import time

import pytest

from adapterkit.comparing.suites.folder import CellFolder
from adapterkit.comparing.suites.runner import Runner
from adapterkit.runs.interruption import StopRequest
from tests.comparing.suites.made import Remembering, attempts, cell, fake_command

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

from adapterkit.comparing.suites.ray_engine import RayEngine  # noqa: E402

SECONDS = 60.0


def run(folder, cells, stop=None):
    engine = RayEngine(2, 1, fake_command)
    return Runner(folder, engine, Remembering(), stop or StopRequest()).run(cells)


def wait_for(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cluster_gives_its_cores_to_the_cells(cluster):
    assert (RayEngine().slots, RayEngine().threads) == (2, 1)
    assert (RayEngine(1).slots, RayEngine(1).threads) == (1, 2)


def test_the_cells_of_a_lost_worker_go_on_elsewhere(cluster, tmp_path):
    slow = CellFolder(tmp_path / cell("slow").folder_name)

    def kill():
        wait_for(slow.run.state_path.exists)
        # The parent of a cell's process is the Ray worker that started it.
        worker = int(attempts(slow)[0][3])
        assert worker != os.getpid()
        os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = run(tmp_path, [cell("slow"), cell(seed=0), cell("fail"), cell(seed=1)])
    killer.join()
    assert {(o.cell.plan, o.status) for o in outcomes} == {
        ("slow", "finished"),
        ("quick", "finished"),
        ("fail", "failed"),
    }
    # It was stopped softly as its worker went, and went on from there.
    assert (slow.run.path / "saved").exists()
    workers = [line[3] for line in attempts(slow)]
    assert len(workers) == len(set(workers)) == 2
    assert {len(attempts(o)) for o in outcomes if o.cell.plan != "slow"} == {1}
    assert {line[1] for o in outcomes for line in attempts(o)} == {"1"}


def test_a_stop_reaches_the_workers(cluster, tmp_path):
    stop = StopRequest()
    slow = CellFolder(tmp_path / cell("slow").folder_name)
    timer = threading.Thread(
        target=lambda: (wait_for(slow.run.state_path.exists), setattr(stop, "asked", True))
    )
    timer.start()
    outcomes = run(tmp_path, [cell("slow"), cell("slow", 1), cell()], stop)
    timer.join()
    assert {outcome.status for outcome in outcomes} == {"stopped"}
    assert {o.status for o in run(tmp_path, [cell("slow"), cell()])} == {"finished"}
