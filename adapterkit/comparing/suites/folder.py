"""The folder of a cell: what was asked, the run, and what went wrong with it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from adapterkit.comparing.suites.cell import Cell
from adapterkit.comparing.suites.failures import explain, signal_name
from adapterkit.runs import manifest as manifests
from adapterkit.runs.atomic import write_json
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.fresh import unused
from adapterkit.runs.manifest import RunManifest

State = Literal["new", "stopped", "failed", "finished"]

_CELL, _ERROR, _LOG, _RUN = "cell.json", "error.json", "output.log", "run"


@dataclass(frozen=True)
class CellFolder:
    """Where a cell is run.

    Attributes:
        path: The folder, which need not exist.
    """

    path: Path

    @property
    def run(self) -> RunDirectory:
        """The run directory."""
        return RunDirectory(self.path / _RUN)

    @property
    def log_path(self) -> Path:
        """What the run printed."""
        return self.path / _LOG

    @property
    def error_path(self) -> Path:
        """Why the last attempt failed, if it did."""
        return self.path / _ERROR

    def state(self) -> State:
        """How far the run has come."""
        if self.manifest() is not None:
            return "finished"
        if self.error_path.exists():
            return "failed"
        return "stopped" if self.run.state_path.exists() else "new"

    def manifest(self) -> RunManifest | None:
        """What the run says of itself, once it is finished and as long as it is whole."""
        try:
            found = manifests.load(self.run.path)
        except UserError:
            return None
        return found if found.status == "finished" else None

    def open(self, cell: Cell) -> None:
        """Make the folder, and say in it what is run there."""
        write_json(self.path / _CELL, cell.as_dict())

    def cell(self) -> Cell:
        """What is run here.

        Raises:
            UserError: The folder does not say.
        """
        file = self.path / _CELL
        try:
            return Cell.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                "the cell cannot be read",
                where=str(file),
                found=str(error),
                hint="run the suite again with adapterkit bench",
            ) from error

    def error(self) -> dict[str, Any]:
        """What ``error.json`` says; nothing where there is none."""
        try:
            content = json.loads(self.error_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def keep_error(self, status: int, resumed: bool, seconds: float) -> str:
        """Write ``error.json`` for a run that ended with an exit status, and return its message."""
        message, lines = explain(status, self.log_path)
        write_json(
            self.error_path,
            {
                "message": message,
                "status": status,
                "signal": signal_name(status),
                "resumed": resumed,
                "attempts": int(self.error().get("attempts", 0)) + 1,
                "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "seconds": round(seconds, 1),
                "log": lines,
            },
        )
        return message

    def drop_error(self) -> None:
        """Remove what an earlier attempt left, once the run is finished."""
        self.error_path.unlink(missing_ok=True)

    def prepare_again(self) -> None:
        """Set aside a run that cannot go on, so that it is made anew.

        A run that failed at its first attempt is resumed, as what stopped it may have been mended;
        one that failed as it was resumed, or whose ``run.json`` is damaged, would fail so again.
        """
        folder = self.run.path
        unusable = self.error().get("resumed", False) or self.run.manifest_path.exists()
        if folder.exists() and unusable:
            os.rename(folder, unused(self.path / ".run-failed"))
