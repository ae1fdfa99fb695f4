"""The folder of a distillation: its work while it runs, the backbone once it is finished."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from adapterkit.backbones.folder_layout import CARD_FILE, CONFIG_FILE
from adapterkit.runs.atomic import ensure_writable
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.disk import disk_errors
from adapterkit.runs.errors import UserError
from adapterkit.runs.fresh import check_fresh, unused
from adapterkit.runs.interruption import Interrupted

RUNS = Path("runs")
_FRESH = ".backbone"
# Two checkpoints of a student, the backbone and the log, with room to spare.
_SPACE = 500_000_000


def new_folder(output: Path | None, name: str) -> RunDirectory:
    """Choose the folder of a new distillation and check that it can be written.

    Args:
        output: What the user asked for; a new folder under ``runs`` if None.
        name: The recipe's.

    Raises:
        UserError: The folder holds something already, or cannot be written.
    """
    directory = RunDirectory(unused(RUNS / name) if output is None else output)
    path = directory.path
    if is_finished(directory):
        check_fresh(path, finished="a finished backbone")
    elif directory.state_path.exists():
        check_fresh(path, unfinished="an unfinished distillation", hint=resume_command(path))
    check_fresh(path)
    ensure_writable(path, _SPACE)
    return directory


@contextlib.contextmanager
def kept_once_begun(directory: RunDirectory) -> Iterator[None]:
    """Remove the folder again if the block fails by a mistake before a checkpoint was written.

    A folder that was there before stays. One whose work was killed or stopped stays as well, so
    that it can be resumed.
    """
    path = directory.path
    made_here = not path.exists()
    try:
        yield
    except UserError:
        if made_here and not directory.checkpoints_path.exists() and not _is_foreign(path):
            shutil.rmtree(path, ignore_errors=True)
        raise


def is_finished(directory: RunDirectory) -> bool:
    """Whether the folder holds a whole backbone."""
    return (directory.path / CONFIG_FILE).exists() and (directory.path / CARD_FILE).exists()


def publish(directory: RunDirectory, write: Callable[[Path], None]) -> None:
    """Put the backbone that `write` writes into the folder, and remove the work.

    Args:
        directory: The folder.
        write: Writes all files of the backbone into the folder it is given, which does not exist.

    Raises:
        UserError: The disk is full or the path cannot be written.
    """
    fresh = directory.path / _FRESH
    with disk_errors(directory.path):
        shutil.rmtree(fresh, ignore_errors=True)
        write(fresh)
        # The configuration last: a folder without it is no backbone yet.
        for entry in sorted(fresh.iterdir(), key=lambda entry: entry.name == CONFIG_FILE):
            target = directory.path / entry.name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(entry, target)
        fresh.rmdir()
    drop_work(directory)


def drop_work(directory: RunDirectory) -> None:
    """Remove what only an unfinished distillation needs."""
    shutil.rmtree(directory.checkpoints_path, ignore_errors=True)
    directory.state_path.unlink(missing_ok=True)


def check_same(what: str, started: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Check that a resumed distillation is what it was when it was stopped.

    Raises:
        UserError: Naming every key whose value differs.
    """
    before, after = _flat(started), _flat(now)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if changed:
        raise UserError(
            f"the {what} changed since the distillation was stopped",
            where=str(path),
            found="; ".join(f"{key}: {after.get(key)!r}" for key in changed),
            allowed="; ".join(f"{key}: {before.get(key)!r}" for key in changed),
            hint="restore what changed, or start anew in another --output",
        )


def resume_command(path: Path) -> str:
    """What to type to go on with the distillation in `path`."""
    return f"adapterkit distill --resume --output {shlex.quote(str(path))}"


def interrupted(path: Path) -> Interrupted:
    """What is raised once the distillation in `path` has stopped and can go on."""
    return Interrupted(path, resume_command(path))


def _is_foreign(path: Path) -> bool:
    """Whether another run holds the folder: it has left its name there."""
    return any(entry.name.startswith(".lock-owner") for entry in path.glob(".*"))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
