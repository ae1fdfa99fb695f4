"""How a stopped run goes on."""

from __future__ import annotations

import shlex
from pathlib import Path

from adapterkit.runs.interruption import Interrupted


def resume_command(path: Path) -> str:
    """What to type to go on with the run in `path`."""
    return f"adapterkit tune --resume --output {shlex.quote(str(path))}"


def interrupted(path: Path) -> Interrupted:
    """What is raised once the run in `path` has stopped and can go on."""
    return Interrupted(path, resume_command(path))
