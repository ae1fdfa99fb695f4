"""Writing that is all or nothing: a temporary sibling first, a rename at the end.

A process killed while it writes leaves the old file as it was, and at most a hidden
temporary sibling beside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from adapterkit.runs.disk import disk_errors
from adapterkit.runs.errors import UserError
from adapterkit.runs.jsonable import json_ready

__all__ = [
    "atomic_directory",
    "atomic_file",
    "disk_errors",
    "ensure_writable",
    "remove_leftovers",
    "write_bytes",
    "write_json",
    "write_text",
]

_SUFFIX = ".adapterkit-tmp"
_PROBE_BYTES = 4096


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` in one step; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, data: bytes) -> None:
    """Replace the file at ``path`` by ``data``, or leave it as it was.

    Missing parent folders are made. A symbolic link is followed, not replaced.

    Raises:
        UserError: The disk is full or the path cannot be written.
    """
    target = Path(os.path.realpath(path))
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _sibling(target)
        try:
            _write_synced(temporary, data)
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(target.parent)


def write_json(path: str | Path, obj: object) -> None:
    """Write ``obj`` as JSON to ``path`` in one step; see `write_bytes`.

    Values JSON does not know are turned into what it does; see `jsonable.json_ready`.
    """
    text = json.dumps(json_ready(obj), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that becomes ``path`` if the block ends well.

    After any exception, an interrupt included, it is removed and ``path`` is as it was. The folder
    must be there.

    Raises:
        UserError: The disk is full or the path cannot be written.
    """
    target = Path(os.path.realpath(path))
    with disk_errors(target):
        temporary = _sibling(target)
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(target.parent)


@contextlib.contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` if the block ends well.

    After any exception, an interrupt included, the temporary folder is removed and ``path`` is
    as it was. ``path`` must not exist yet, or be an empty folder.

    Raises:
        UserError: ``path`` is taken, the disk is full or the path cannot be written.
    """
    target = Path(os.path.realpath(path))
    with disk_errors(target):
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise UserError(
                "The output path is already taken.",
                where=str(target),
                allowed="a path that does not exist yet, or an empty folder",
                hint="choose another path, or move the old one away",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _sibling(target)
        temporary.mkdir()
        try:
            yield temporary
            _sync_tree(temporary)
            os.rename(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync_directory(target.parent)


def ensure_writable(path: str | Path, needed_bytes: int = 0) -> None:
    """Check, before work starts, that a file or folder can be written at ``path``.

    Nothing is left behind: a small file is written and removed in the folder itself, or in
    the nearest one above it that exists.

    Args:
        path: A file or folder, existing or not.
        needed_bytes: Free space that must be there.

    Raises:
        UserError: The path cannot be written, or the space is not there.
    """
    target = Path(os.path.realpath(path))
    with disk_errors(target):
        folder = target if target.is_dir() else target.parent
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(20, os.strerror(20), str(folder))
        probe = _sibling(folder / "probe")
        try:
            _write_synced(probe, b"\0" * _PROBE_BYTES)
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
        free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise UserError(
            "There is not enough free disk space.",
            where=str(target),
            found=f"{free:,} bytes free",
            allowed=f"at least {needed_bytes:,} bytes",
            hint="make room, or choose an output folder on another disk",
        )


def remove_leftovers(directory: str | Path) -> None:
    """Remove temporary files that killed writers left in ``directory``.

    Call it only while holding the directory's lock: nobody else is writing then.
    """
    for leftover in Path(directory).glob(f".*{_SUFFIX}"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _sibling(target: Path) -> Path:
    return target.with_name(f".{target.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}")


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_tree(directory: Path) -> None:
    for folder, _, names in os.walk(directory):
        for name in names:
            with open(Path(folder, name), "rb") as file:
                os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    # Some file systems cannot sync a folder; the rename itself has already happened.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
