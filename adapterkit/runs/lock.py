"""One writer a directory."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from adapterkit.runs.atomic import write_json
from adapterkit.runs.disk import disk_errors
from adapterkit.runs.errors import UserError

_LOCK = ".lock"
# filelock truncates its own file before it knows whether it holds the lock, so the owner's
# name stands in a file beside it.
_OWNER = ".lock-owner.json"


@contextlib.contextmanager
def hold(directory: str | Path, wait: float = 0.0) -> Iterator[None]:
    """Hold ``directory`` for this process while the block runs; the folder is made if missing.

    The lock goes with the process: one that was killed holds nothing.

    Args:
        directory: What is held.
        wait: Seconds to wait for another run to let go of it.

    Raises:
        UserError: Another run holds the directory, or it cannot be written.
    """
    folder = Path(directory)
    lock = FileLock(folder / _LOCK)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=wait, poll_interval=0.1)
        except Timeout:
            raise _in_use(folder) from None
    try:
        write_json(folder / _OWNER, {"pid": os.getpid(), "host": platform.node()})
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / _OWNER).unlink(missing_ok=True)
        lock.release()


def _in_use(folder: Path) -> UserError:
    try:
        owner = json.loads((folder / _OWNER).read_text(encoding="utf-8"))
        found = f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    return UserError(
        "The directory is in use by another run.",
        where=str(folder),
        found=found,
        hint="wait for that run, or choose another --output",
    )
