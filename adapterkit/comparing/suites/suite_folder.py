"""The folder of a suite: its cells, and ``suite.json``, which says what became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from adapterkit.comparing.suites.runner import Outcome
from adapterkit.comparing.suites.suite import Suite
from adapterkit.runs.atomic import ensure_writable, write_json
from adapterkit.runs.environment import hardware, versions
from adapterkit.runs.errors import UserError

SUITE_FILE = "suite.json"
SCHEMA = "adapterkit.suite.v1"

_SPACE = 200_000_000


@dataclass(frozen=True)
class SuiteFolder:
    """Where a suite is run.

    Attributes:
        path: The folder, existing or not.
    """

    path: Path

    @property
    def cells(self) -> Path:
        """Holds one folder for each run of the table."""
        return self.path / "cells"

    @property
    def search(self) -> Path:
        """Holds the runs of the search for hyper-parameters, and its tasks."""
        return self.path / "search"

    def check(self, suite: Suite) -> None:
        """Check that the suite can be run here.

        Raises:
            UserError: The folder holds something else, or cannot be written.
        """
        ensure_writable(self.path, _SPACE)
        found = self.read().get("name")
        if found is None and self.path.is_dir():
            others = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
            found = ", ".join(sorted({*others} - {"cells", "search"})[:8]) or None
        if found not in (None, suite.name):
            raise UserError(
                "the output directory holds something else",
                where=str(self.path),
                found=found,
                allowed=f"a new or empty directory, or one of suite {suite.name}",
                hint="choose another --output",
            )

    def read(self) -> dict[str, Any]:
        """What ``suite.json`` says; nothing where there is none."""
        try:
            content = json.loads((self.path / SUITE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(
        self,
        suite: Suite,
        outcomes: Sequence[Outcome],
        search: Sequence[Mapping[str, Any]],
        notes: Sequence[str],
        command: str,
    ) -> None:
        """Write ``suite.json`` in one step."""
        write_json(
            self.path / SUITE_FILE,
            {
                "schema": SCHEMA,
                "name": suite.name,
                "updated": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "command": command,
                "suite": suite.as_dict(),
                "cells": [self._entry(outcome) for outcome in outcomes],
                "search": list(search),
                "notes": list(notes),
                "versions": versions(),
                "hardware": hardware(),
            },
        )

    def _entry(self, outcome: Outcome) -> dict[str, Any]:
        cell = outcome.cell
        return {
            "run": outcome.folder.run.path.relative_to(self.path).as_posix(),
            "status": outcome.status,
            "task": cell.task,
            "plan": cell.plan,
            "backbone": cell.request.backbone,
            "seed": cell.request.seed,
            "variant": dict(cell.variant),
            "identity": cell.identity,
            "seconds": round(outcome.seconds, 1),
            "error": outcome.error,
        }
