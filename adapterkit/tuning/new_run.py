"""The directory of a run that is about to start."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from adapterkit.runs.atomic import ensure_writable
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.fresh import check_fresh, unused
from adapterkit.runs.lock import hold
from adapterkit.tuning.interruption import resume_command
from adapterkit.tuning.request import Request

RUNS = Path("runs")
_SPACE = 200_000_000


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Remove the folder again if the block fails before anything was kept there."""
    made_here = not path.exists()
    try:
        yield
    except BaseException:
        # Whoever else holds it has left a name beside the lock.
        if made_here and path.is_dir() and [*path.iterdir()] == [path / ".lock"]:
            shutil.rmtree(path, ignore_errors=True)
        raise


def new_directory(request: Request, output: str | Path | None) -> RunDirectory:
    """Where a run is to be written, once that is known to be possible.

    Args:
        request: What it was asked to do, which names the folder by default.
        output: The folder, if it was chosen.

    Raises:
        UserError: The folder is in use or taken, or cannot be written.
    """
    path = unused(RUNS / request.folder_name) if output is None else Path(output)
    directory = RunDirectory(path)
    if directory.state_path.exists():
        with hold(path):
            # A run that is still going is in use, not unfinished.
            check_fresh_run(directory)
    check_fresh_run(directory)
    ensure_writable(path, _SPACE)
    return directory


def check_fresh_run(directory: RunDirectory) -> None:
    """Check that there is nothing yet where a run is to be written.

    Raises:
        UserError: There is; says whether it is a run.
    """
    path = directory.path
    if directory.manifest_path.exists():
        again = "adapterkit evaluate scores the run again"
        check_fresh(path, finished="a finished run", hint=again)
    elif directory.state_path.exists():
        check_fresh(path, unfinished="an unfinished run", hint=resume_command(path))
    check_fresh(path)
