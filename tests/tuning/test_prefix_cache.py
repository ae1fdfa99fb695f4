"""The cache of states as a folder: bounded, shared by processes, nothing half-written in it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.tuning.prefix_cache import (
    DEFAULT_LIMIT,
    LIMIT_VARIABLE,
    CacheUnavailableError,
    PrefixCache,
    user_prefix_cache,
)


@pytest.fixture
def cache(tmp_path: Path) -> PrefixCache:
    return PrefixCache(tmp_path / "cache", 1000)


def put(cache: PrefixCache, key: str, size: int, used: int | None = None) -> Path:
    path, written = cache.add(key, size, lambda file: fill(file, key, size))
    assert written
    if used is not None:
        os.utime(path, (used, used))
    return path


def fill(file: BinaryIO, key: str, size: int) -> None:
    file.write(key[:1].encode() * size)


def keys(cache: PrefixCache) -> set[str]:
    return {path.name for path in cache.folder.iterdir() if path.name != "locks"}


def refuse(file: BinaryIO) -> None:
    raise AssertionError("it is there already")


def test_an_entry_is_found_again(cache: PrefixCache) -> None:
    assert cache.find("a", 10) is None
    path = put(cache, "a", 10)
    assert path.read_bytes() == b"a" * 10
    assert cache.find("a", 10) == path
    assert cache.add("a", 10, refuse) == (path, False)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_entry_of_another_size_is_written_again(cache: PrefixCache) -> None:
    put(cache, "a", 10).write_bytes(b"torn")
    assert cache.find("a", 10) is None
    assert put(cache, "a", 10).read_bytes() == b"a" * 10


def test_the_least_recently_used_make_room(cache: PrefixCache) -> None:
    for used, key in enumerate("abc"):
        put(cache, key, 300, used)
    cache.find("a", 300)
    put(cache, "d", 300)
    assert keys(cache) == {"a", "c", "d"}
    put(cache, "e", 1000)
    assert keys(cache) == {"e"}


def test_what_the_run_itself_needs_stays(cache: PrefixCache) -> None:
    put(cache, "a", 600, 1)
    put(cache, "b", 300, 2)
    with pytest.raises(CacheUnavailableError, match="no room for 500 bytes in 1,000"):
        cache.add("c", 500, refuse, kept=["a"])
    assert cache.find("a", 600) is not None


def test_nothing_larger_than_all_of_it(cache: PrefixCache) -> None:
    with pytest.raises(CacheUnavailableError, match=r"1,001 bytes are over its limit of 1,000"):
        cache.add("a", 1001, refuse)
    assert not cache.folder.exists()


def test_it_leaves_space_on_the_disk(cache: PrefixCache, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, "a", 10)
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Full)
    with pytest.raises(CacheUnavailableError, match="too little free disk space"):
        cache.add("b", 10, refuse)
    assert keys(cache) == {"a", "b"}, "it was emptied in vain"


class _Full:
    free = 100_000_000


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_nothing(cache: PrefixCache, error: BaseException) -> None:
    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    expected = CacheUnavailableError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        cache.add("a", 10, write)
    assert cache.find("a", 10) is None
    assert [*(cache.folder / "a").iterdir()] == []
    put(cache, "a", 10)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = PrefixCache(tmp_path / "file" / "cache", 1000)
    assert cache.find("a", 10) is None
    with pytest.raises(CacheUnavailableError):
        cache.add("a", 10, refuse)


def test_an_entry_that_is_removed_can_be_read_to_its_end(cache: PrefixCache) -> None:
    with open(put(cache, "a", 900, 1), "rb") as file:
        put(cache, "b", 900)
        assert keys(cache) == {"b"}
        assert file.read() == b"a" * 900


CODE = """
import os, signal, sys
from pathlib import Path
from adapterkit.tuning.prefix_cache import PrefixCache

def write(file):
    file.write(b"x" * 5)
    file.flush()
    print("writing", flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.readline()
    file.write(b"x" * 5)

path, written = PrefixCache(Path(sys.argv[1]), 1000).add("x", 10, write)
"""


def writer(cache: PrefixCache, how: str) -> subprocess.Popen[str]:
    """Another process, in the midst of writing entry ``x``."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(cache.folder), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_a_second_process_waits_for_the_first(cache: PrefixCache) -> None:
    process = writer(cache, "wait")
    waiting = threading.Event()
    found: list[tuple[Path, bool]] = []
    second = threading.Thread(
        target=lambda: found.append(cache.add("x", 10, refuse, waiting=waiting.set))
    )
    second.start()
    assert waiting.wait(60)
    assert cache.find("x", 10) is None, "a half-written entry is trusted"
    put(cache, "other", 10)
    with pytest.raises(CacheUnavailableError, match="no room"):
        # What is being written is neither removed nor forgotten.
        cache.add("large", 995, refuse)
    process.communicate("go on\n", timeout=60)
    second.join(60)
    (path, written), *_ = found
    assert not written
    assert path.read_bytes() == b"x" * 10


def test_a_killed_writer_leaves_nothing_that_is_trusted(cache: PrefixCache) -> None:
    process = writer(cache, "die")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert cache.find("x", 10) is None
    assert len([*(cache.folder / "x").iterdir()]) == 1
    assert put(cache, "x", 10).read_bytes() == b"x" * 10
    assert len([*(cache.folder / "x").iterdir()]) == 1


def test_leftovers_of_a_killed_writer_make_room(cache: PrefixCache) -> None:
    writer(cache, "die").communicate(timeout=60)
    put(cache, "a", 1000)
    assert keys(cache) == {"a"}


def test_the_limit_of_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_prefix_cache() == PrefixCache(tmp_path / "adapterkit" / "prefix", DEFAULT_LIMIT)
    monkeypatch.setenv(LIMIT_VARIABLE, "5000")
    assert user_prefix_cache().limit == 5000
    for wrong in ("5 GB", "-1", ""):
        monkeypatch.setenv(LIMIT_VARIABLE, wrong)
        with pytest.raises(UserError, match="no number of bytes"):
            user_prefix_cache()
