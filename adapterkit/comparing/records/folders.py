"""Finding run directories in what the user named."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from adapterkit.runs.errors import UserError
from adapterkit.runs.manifest import MANIFEST_NAME

SUITE_FILE: Final = "suite.json"

# Any of them is left by `tune`, whatever it was stopped at.
_MARKS = (MANIFEST_NAME, "state.json", "predictions", "checkpoints")


def run_folders(paths: Iterable[Path]) -> list[Path]:
    """Return the run directories that are named, or that stand below a folder that is named.

    A suite's folder stands for the runs that its ``suite.json`` lists, so that neither its search
    nor cells from before a change of the suite are among them. Each directory is given once.

    Raises:
        UserError: A path does not exist.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise UserError(
                "There is no run here.",
                where=str(path),
                found="no such file or directory",
                allowed="run directories, or folders that hold some",
                hint="check the path",
            )
        for folder in _below(path.parent if path.name == MANIFEST_NAME else path):
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def suite_notes(paths: Iterable[Path]) -> tuple[str, ...]:
    """Return what ``suite.json`` of the suites among some paths says a table must tell."""
    notes = [note for path in paths for note in _suite(path).get("notes", ())]
    return tuple(dict.fromkeys(str(note) for note in notes))


def _below(path: Path) -> Iterator[Path]:
    for name, folders, files in os.walk(path):
        folder = Path(name)
        if not {*folders, *files}.isdisjoint(_MARKS):
            folders.clear()
            yield folder
        elif (listed := _suite(folder).get("cells")) is not None:
            folders.clear()
            yield from (folder / str(cell["run"]) for cell in listed)
        else:
            folders[:] = sorted(f for f in folders if not f.startswith("."))


def _suite(folder: Path) -> Mapping[str, Any]:
    try:
        content = json.loads((folder / SUITE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
