"""The process of one cell: ``python -m adapterkit.comparing.suites.worker FOLDER``.

Every cell has a process of its own, so that peak memory is the run's and a crash is its alone. It
stops softly, as after Ctrl-C, when the process that started it is gone.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from adapterkit.comparing.suites.folder import CellFolder
from adapterkit.runs.errors import UserError
from adapterkit.runs.lock import hold

STOPPED = 130
"""Exit status of a run that was stopped and can go on."""

_MISTAKE = 2
_WAIT_SECONDS = 300.0


def worker_command(folder: Path, threads: int) -> list[str]:
    """The command that runs the cell in `folder`."""
    module = "adapterkit.comparing.suites.worker"
    return [sys.executable, "-m", module, str(folder), "--threads", str(threads), "--watch"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a cell, or go on with it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="adapterkit.comparing.suites.worker")
    parser.add_argument("folder", type=Path, help="the cell's folder")
    parser.add_argument("--threads", type=int, default=1, help="processor threads to use")
    parser.add_argument(
        "--watch", action="store_true", help="stop softly once standard input is closed"
    )
    options = parser.parse_args(arguments)
    _hear_stops()
    try:
        if options.watch:
            threading.Thread(target=_stop_when_alone, daemon=True).start()
        _run(CellFolder(options.folder), options.threads)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return _MISTAKE
    except KeyboardInterrupt as stop:
        print(str(stop) or "Interrupted.", file=sys.stderr)
        return STOPPED
    return 0


def _run(folder: CellFolder, threads: int) -> None:
    # A worker whose suite was killed may still be writing what it has learned.
    with hold(folder.path, _WAIT_SECONDS):
        cell = folder.cell()
        import torch

        from adapterkit.tuning.tune import resume_run, start_run

        torch.set_num_threads(threads)
        run, progress = folder.run, _Lines()
        if run.state_path.exists() or run.manifest_path.exists():
            resume_run(run.path, progress=progress, command=cell.command)
        else:
            start_run(cell.request, run.path, progress=progress, command=cell.command)


def _hear_stops() -> None:
    """Undo what jobs in the background and Ray workers hand on: Ctrl-C ignored or blocked."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def _stop_when_alone() -> None:
    # Not sys.stdin: its lock would be held when Python ends.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)


class _Lines:
    """A `runs.progress.Progress` that prints phases and what is said."""

    def begin(self, phase: str, total: int | None = None) -> None:
        self.say(phase if total is None else f"{phase} ({total})")

    def advance(self, units: int = 1, **measures: float) -> None:
        pass

    def say(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
