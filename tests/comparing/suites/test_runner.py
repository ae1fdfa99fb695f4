"""What becomes of cells, with processes that train nothing."""

import json
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace

import pytest

from adapterkit.comparing.suites.engine import cores
from adapterkit.comparing.suites.folder import CellFolder
from adapterkit.comparing.suites.local_engine import LocalEngine
from adapterkit.runs.interruption import StopRequest
from tests.comparing.suites.made import (
    Remembering,
    attempts,
    cell,
    fake_command,
    runner,
    spans,
)

SECONDS = 30.0


def statuses(outcomes):
    return {outcome.cell.plan: outcome.status for outcome in outcomes}


def wait_for(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_cell_is_run_and_a_finished_one_never_again(tmp_path):
    cells = [cell(seed=0), cell(seed=1)]
    first = runner(tmp_path).run(cells)
    assert [outcome.status for outcome in first] == ["finished", "finished"]
    assert not any(outcome.is_reused for outcome in first)
    told = Remembering()
    again = runner(tmp_path, listener=told).run([*cells, cell(seed=2)])
    assert [outcome.is_reused for outcome in again] == [True, True, False]
    assert told.began == [cell(seed=2)]
    assert [len(attempts(outcome)) for outcome in again] == [1, 1, 1]
    # What an earlier session took is what its run says.
    assert again[0].seconds == 1.75


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"train": "other"}},
        {"backbone": "sha256:other"},
        {"code": {"adapterkit": "0", "source": "other"}},
        {"task": {"name": "toy", "labels": ["B"]}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_cell_is_run_and_the_old_run_stays(tmp_path, change):
    old, same = cell(seed=0), cell(seed=1)
    first = runner(tmp_path, 2).run([old, same])
    new = replace(old, inputs=replace(old.inputs, **change))
    again = runner(tmp_path, 2).run([new, same])
    assert {o.cell.request.seed: o.is_reused for o in again} == {0: False, 1: True}
    assert all(outcome.folder.state() == "finished" for outcome in [*first, *again])


def test_a_failing_cell_is_kept_with_its_error_and_the_others_go_on(tmp_path):
    outcomes = runner(tmp_path).run([cell("fail"), cell("die"), cell("quick")])
    assert statuses(outcomes) == {"fail": "failed", "die": "failed", "quick": "finished"}
    failed, died, _ = outcomes
    error = json.loads(failed.folder.error_path.read_text())
    assert error["message"] == failed.error == "something is wrong\n  where: there"
    assert (error["status"], error["signal"], error["attempts"]) == (2, None, 1)
    assert "Error: something is wrong" in error["log"]
    assert json.loads(died.folder.error_path.read_text())["signal"] == "SIGKILL"
    assert "memory" in died.error
    again = runner(tmp_path).run([cell("fail"), cell("die"), cell("quick")])
    assert [outcome.error for outcome in again] == [o.error for o in outcomes]
    assert all(outcome.is_reused for outcome in again)
    assert len(attempts(failed)) == 1


def test_failed_cells_are_tried_again_where_that_is_asked_for(tmp_path):
    cells = [cell("mend"), cell("fail"), cell("quick")]
    runner(tmp_path).run(cells)
    (tmp_path / "mended").touch()
    outcomes = runner(tmp_path, retry_failed=True).run(cells)
    assert statuses(outcomes) == {"mend": "finished", "fail": "failed", "quick": "finished"}
    mended, failed, quick = outcomes
    assert not mended.folder.error_path.exists()
    assert failed.folder.error()["attempts"] == 2
    assert len(attempts(quick)) == 1


def test_what_failed_as_it_was_resumed_is_made_anew_the_next_time(tmp_path):
    cells = [cell("fail")]
    for expected in (False, True, False):
        (outcome,) = runner(tmp_path, retry_failed=True).run(cells)
        assert outcome.folder.error()["resumed"] is expected
    assert (outcome.folder.path / ".run-failed").is_dir()


def test_a_damaged_run_is_not_taken_for_a_finished_one(tmp_path):
    (outcome,) = runner(tmp_path).run([cell()])
    outcome.folder.run.manifest_path.write_text("{")
    (again,) = runner(tmp_path).run([cell()])
    assert (again.status, again.is_reused) == ("finished", False)


def test_two_jobs_run_at_once_and_share_the_cores(tmp_path):
    outcomes = runner(tmp_path / "two", 2).run([cell(seed=0), cell(seed=1)])
    (start, end), (start_2, end_2) = map(spans, outcomes)
    assert max(start, start_2) < min(end, end_2)
    share = str(max(1, cores() // 2))
    assert [attempts(outcome)[0][1:3] for outcome in outcomes] == [[share, share]] * 2
    outcomes = runner(tmp_path / "one", 1).run([cell(seed=0), cell(seed=1)])
    (_, end), (start_2, _) = map(spans, outcomes)
    assert end < start_2
    assert attempts(outcomes[0])[0][1] == str(cores())


def test_a_stop_is_soft_and_the_cell_goes_on_the_next_time(tmp_path):
    stop, told = StopRequest(), Remembering()
    folder = CellFolder(tmp_path / cell("slow").folder_name)
    timer = threading.Thread(
        target=lambda: (wait_for(folder.run.state_path.exists), setattr(stop, "asked", True))
    )
    timer.start()
    outcomes = runner(tmp_path, stop=stop, listener=told).run([cell("slow"), cell("quick")])
    timer.join()
    assert statuses(outcomes) == {"slow": "stopped"}
    assert (folder.run.path / "saved").exists()
    assert not folder.error_path.exists()
    assert any("stopping" in said for said in told.said)
    again = runner(tmp_path).run([cell("slow"), cell("quick")])
    assert statuses(again) == {"slow": "finished", "quick": "finished"}
    assert len(attempts(again[0])) == 2


def _run_suite(folder):
    runner(folder, 2).run([cell("quick"), cell("slow"), cell("quick", 1)])


def test_a_killed_suite_goes_on_and_leaves_no_process_behind(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_run_suite, args=(tmp_path,))
    process.start()
    slow = CellFolder(tmp_path / cell("slow").folder_name)
    quick = [CellFolder(tmp_path / cell("quick", seed).folder_name) for seed in (0, 1)]
    wait_for(lambda: all(folder.state() == "finished" for folder in quick))
    wait_for(slow.run.state_path.exists)
    process.kill()
    process.join()
    # Its standard input has closed, so it saves and ends.
    wait_for((slow.run.path / "saved").exists)
    outcomes = runner(tmp_path, 2).run([cell("quick"), cell("slow"), cell("quick", 1)])
    assert {outcome.status for outcome in outcomes} == {"finished"}
    assert {o.cell.plan: o.is_reused for o in outcomes} == {"quick": True, "slow": False}
    assert [len(attempts(folder)) for folder in (*quick, slow)] == [1, 1, 2]


def test_an_error_of_the_suite_itself_leaves_no_process_behind(tmp_path):
    class Failing(Remembering):
        def waiting(self, standing):
            wait_for((tmp_path / cell("slow").folder_name / "attempts").exists)
            raise RuntimeError("the terminal is gone")

    engine = LocalEngine(1, command=fake_command)
    started = []
    start = engine.start
    engine.start = lambda folder: (start(folder), started.extend(engine._running.values()))
    made = runner(tmp_path, listener=Failing())
    made._engine = engine
    with pytest.raises(RuntimeError, match="terminal"):
        made.run([cell("slow")])
    assert [process.poll() for process in started] == [-signal.SIGKILL]
    assert not alive(started[0].pid)


def test_cells_that_follow_are_run_and_counted(tmp_path):
    told = Remembering()

    def follow_up(outcome):
        seed = outcome.cell.request.seed
        return [cell(seed=seed + 1)] if seed < 2 else []

    outcomes = runner(tmp_path, listener=told).run([cell()], 3, follow_up)
    assert [outcome.cell.request.seed for outcome in outcomes] == [0, 1, 2]
    assert {standing.total for standing in told.standings} == {3}
    assert told.standings[-1].done == 3


def test_progress_says_what_is_done_running_and_failed(tmp_path):
    told = Remembering()
    runner(tmp_path, listener=told).run([cell(), cell("fail"), cell(seed=1)])
    first, last = told.standings[0], told.standings[-1]
    assert (first.total, first.done, first.running, first.failed) == (3, 0, 1, 0)
    assert first.seconds_left is None
    assert (last.total, last.done, last.running, last.failed) == (3, 2, 0, 1)
    assert last.seconds_left == 0
    assert any(s.done == 1 and s.running == 1 and s.seconds_left > 0 for s in told.standings)
