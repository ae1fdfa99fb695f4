"""One process of a cell: started in a session of its own, and asked to stop softly."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def start_process(
    command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process that prints into a file and can tell when this one is gone.

    Ctrl-C in a terminal goes to all processes of a session, so this one has its own and hears of
    it only through `stop_process`. Its standard input is a pipe that closes with this process.

    Args:
        command: What to run.
        log: Where its output is appended.
        environment: Variables to set besides those of this process.
    """
    with open(log, "ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **environment},
        )


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to save what it has and end."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)


def kill_process(process: subprocess.Popen[bytes]) -> None:
    """End a process at once."""
    if process.poll() is None:
        process.kill()
    process.wait()
    close_process(process)


def close_process(process: subprocess.Popen[bytes]) -> None:
    """Let go of the pipe to a process that has ended."""
    if process.stdin is not None:
        process.stdin.close()
