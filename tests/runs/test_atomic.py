import errno
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from adapterkit.runs import atomic
from adapterkit.runs.errors import UserError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_as_utf8_and_parents_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "note.txt"
    atomic.write_text(path, "β-blocker\r\n")
    assert path.read_bytes() == "β-blocker\r\n".encode()
    assert names(path.parent) == ["note.txt"]


def test_old_mode_is_kept_and_a_new_file_follows_the_umask(tmp_path):
    old = tmp_path / "old"
    old.write_text("x")
    old.chmod(0o600)
    atomic.write_text(old, "y")
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    plain = tmp_path / "plain"
    plain.touch()
    atomic.write_text(tmp_path / "new", "y")
    assert (tmp_path / "new").stat().st_mode == plain.stat().st_mode


def test_a_symbolic_link_is_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("old")
    (tmp_path / "link").symlink_to(target)
    atomic.write_text(tmp_path / "link", "new")
    assert target.read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "states"
    path.write_bytes(b"old")
    with atomic.atomic_file(path) as file:
        file.write(b"ne")
        file.flush()
        assert path.read_bytes() == b"old"
        file.write(b"w")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["states"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_file_that_fails_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "states"
    path.write_bytes(b"old")

    def fail():
        with atomic.atomic_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["states"]


def test_a_full_disk_under_a_file_is_told(tmp_path):
    with pytest.raises(UserError, match="no space left"), atomic.atomic_file(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


def test_json_holds_what_json_knows(tmp_path):
    path = tmp_path / "x.json"
    atomic.write_json(
        path,
        {
            "f1": np.float32(0.5),
            "counts": np.arange(3),
            "nan": float("nan"),
            "inf": np.float64("inf"),
            "path": tmp_path,
            "set": {"b", "a"},
            3: (1, True, None),
        },
    )
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {
        "f1": 0.5,
        "counts": [0, 1, 2],
        "nan": None,
        "inf": None,
        "path": str(tmp_path),
        "set": ["a", "b"],
        "3": [1, True, None],
    }


def test_unknown_object_leaves_the_old_json(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(TypeError):
        atomic.write_json(path, {"x": object()})
    assert path.read_text() == "{}"


def test_full_disk_leaves_the_old_file(tmp_path, full_disk):
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(UserError, match="no space left") as caught:
        atomic.write_text(path, "new")
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["run.json"]


def test_really_full_disk_leaves_the_old_file(small_disk):
    path = small_disk / "run.json"
    path.write_text("old")
    with pytest.raises(UserError, match="no space left") as caught:
        atomic.write_bytes(path, b"x" * 100_000)
    assert "another disk" in str(caught.value)
    assert path.read_text() == "old"
    assert names(small_disk) == ["run.json"]


def test_really_full_disk_leaves_no_half_directory(small_disk):
    target = small_disk / "adapter"

    def write():
        with atomic.atomic_directory(target) as folder:
            (folder / "config.json").write_text("{}")
            (folder / "weights").write_bytes(b"x" * 100_000)

    with pytest.raises(UserError, match="no space left"):
        write()
    assert names(small_disk) == []


def test_really_full_disk_is_noticed_before_work(small_disk):
    (small_disk / "filler").write_bytes(b"x" * (64 * 1024))
    with pytest.raises(UserError, match="no space left"):
        atomic.ensure_writable(small_disk / "run")
    assert names(small_disk) == ["filler"]


@pytest.mark.parametrize("below", ["name", "folder/name"])
def test_path_below_a_file_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "file" / below
    for attempt in (atomic.ensure_writable, lambda p: atomic.write_text(p, "x")):
        with pytest.raises(UserError) as caught:
            attempt(path)
        assert str(path) in str(caught.value)
        assert "stands where" in str(caught.value) or "already taken" in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_unwritable_file_system_is_refused():
    for attempt in (atomic.ensure_writable, lambda p: atomic.write_text(p, "x")):
        with pytest.raises(UserError, match="/proc/adapterkit-run"):
            attempt("/proc/adapterkit-run")


def test_folder_in_the_way_of_a_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="A folder stands"):
        atomic.write_text(tmp_path, "x")
    assert names(tmp_path) == []


def test_ensure_writable_leaves_nothing_behind(tmp_path):
    atomic.ensure_writable(tmp_path / "not" / "yet" / "there")
    assert names(tmp_path) == []


def test_ensure_writable_compares_the_free_space(tmp_path):
    with pytest.raises(UserError, match="not enough free disk space"):
        atomic.ensure_writable(tmp_path, needed_bytes=1 << 60)


def test_directory_appears_whole(tmp_path):
    target = tmp_path / "deep" / "adapter"
    with atomic.atomic_directory(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        assert not target.exists()
    assert (target / "sub" / "file").read_text() == "x"
    assert names(target.parent) == ["adapter"]


def test_directory_may_replace_an_empty_one(tmp_path):
    target = tmp_path / "adapter"
    target.mkdir()
    with atomic.atomic_directory(target) as folder:
        (folder / "file").write_text("x")
    assert names(target) == ["file"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_directory_vanishes_after_an_exception(tmp_path, error):
    def write():
        with atomic.atomic_directory(tmp_path / "adapter") as folder:
            (folder / "file").write_text("x")
            raise error

    with pytest.raises(error):
        write()
    assert names(tmp_path) == []


def test_directory_never_overwrites(tmp_path):
    target = tmp_path / "adapter"
    target.mkdir()
    (target / "mine").write_text("x")
    with pytest.raises(UserError, match="already taken"), atomic.atomic_directory(target):
        pytest.fail("the block must not run")
    assert names(target) == ["mine"]


def test_directory_made_meanwhile_is_not_overwritten(tmp_path):
    target = tmp_path / "adapter"

    def write():
        with atomic.atomic_directory(target) as folder:
            (folder / "ours").write_text("x")
            target.mkdir()
            (target / "theirs").write_text("x")

    with pytest.raises(UserError, match="already taken"):
        write()
    assert names(tmp_path) == ["adapter"]
    assert names(target) == ["theirs"]


def test_kill_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("old")
    script = textwrap.dedent(
        """
        import os, sys, time
        from adapterkit.runs import atomic

        def stall(descriptor):
            print("written", flush=True)
            time.sleep(60)

        os.fsync = stall
        atomic.write_text(sys.argv[1], "new" * 1000)
        """
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout.readline() == "written\n"
        assert path.read_text() == "old"
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2, "the killed writer leaves its temporary file"
    atomic.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["run.json"]


def test_kills_at_random_moments_never_tear_a_file(tmp_path):
    path = tmp_path / "state.json"
    script = textwrap.dedent(
        """
        import sys
        from adapterkit.runs import atomic

        number = 0
        while True:
            number += 1
            atomic.write_json(sys.argv[1], {"number": number, "filler": [number] * 2000})
        """
    )
    for attempt in range(4):
        writer = subprocess.Popen([sys.executable, "-c", script, str(path)])
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.01 * attempt)
        writer.kill()
        writer.wait()
        content = json.loads(path.read_text())
        assert content["filler"] == [content["number"]] * 2000
        path.unlink()
