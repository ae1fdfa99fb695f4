import json
import os
import signal
import subprocess
import sys

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.runs.lock import hold

HOLDER = """
import sys
from adapterkit.runs.lock import hold

with hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_two_processes_cannot_hold_one_directory(tmp_path, holder):
    run = tmp_path / "run"
    with pytest.raises(UserError, match="in use by another run") as caught, hold(run):
        pytest.fail("the block must not run")
    assert caught.value.where == str(run)
    assert f"process {holder.pid} on " in caught.value.found
    assert "--output" in caught.value.hint
    holder.communicate("done\n")
    with hold(run):
        owner = json.loads((run / ".lock-owner.json").read_text())
        assert owner["pid"] == os.getpid()


def test_a_killed_holder_holds_nothing(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with hold(tmp_path / "run"):
        pass


def test_two_holders_in_one_process_are_two(tmp_path):
    with hold(tmp_path), pytest.raises(UserError, match="in use"), hold(tmp_path):
        pytest.fail("the block must not run")
    with hold(tmp_path):
        pass


def test_owner_unknown_is_no_crash(tmp_path):
    with hold(tmp_path):
        (tmp_path / ".lock-owner.json").write_text("not json")
        with pytest.raises(UserError, match="in use") as caught, hold(tmp_path):
            pytest.fail("the block must not run")
    assert caught.value.found is None


def test_the_lock_is_released_after_an_exception(tmp_path):
    with pytest.raises(ValueError, match="mine"), hold(tmp_path):
        raise ValueError("mine")
    with hold(tmp_path):
        pass


def test_a_directory_that_cannot_be_made_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="A file stands"), hold(tmp_path / "file" / "run"):
        pytest.fail("the block must not run")
