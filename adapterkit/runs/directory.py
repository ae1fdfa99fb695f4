"""The run directory: where each thing that a run leaves behind lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterkit.runs import manifest as manifests
from adapterkit.runs.atomic import write_json
from adapterkit.runs.disk import disk_errors
from adapterkit.runs.errors import UserError
from adapterkit.runs.jsonable import json_ready


@dataclass(frozen=True)
class RunDirectory:
    """A run directory, existing or not yet.

    Attributes:
        path: The directory.
    """

    path: Path

    @property
    def manifest_path(self) -> Path:
        """``run.json``, written last: a directory that has it is finished."""
        return self.path / manifests.MANIFEST_NAME

    @property
    def adapter_path(self) -> Path:
        """What was learned, in AdapterHub's format."""
        return self.path / "adapter"

    @property
    def predictions_path(self) -> Path:
        """Predictions on each scored split."""
        return self.path / "predictions"

    @property
    def profile_path(self) -> Path:
        """Where the time of some updates went, if that was asked for."""
        return self.path / "profile"

    @property
    def log_path(self) -> Path:
        """One JSON object a line, as the run goes."""
        return self.path / "log.jsonl"

    @property
    def checkpoints_path(self) -> Path:
        """Checkpoints while the run is going."""
        return self.path / "checkpoints"

    @property
    def state_path(self) -> Path:
        """The resolved arguments that an unfinished run needs to be resumed."""
        return self.path / "state.json"

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end.

        Raises:
            UserError: ``run.json`` is there but damaged.
        """
        return (
            self.manifest_path.exists() and manifests.load(self.manifest_path).status == "finished"
        )

    def append_log(self, record: Mapping[str, Any]) -> None:
        """Append one line to ``log.jsonl``.

        Raises:
            UserError: The disk is full or the path cannot be written.
        """
        line = json.dumps(json_ready(record), ensure_ascii=False, allow_nan=False) + "\n"
        with disk_errors(self.log_path):
            self.path.mkdir(parents=True, exist_ok=True)
            torn = self._log_is_torn()
            with open(self.log_path, "a", encoding="utf-8", newline="\n") as file:
                file.write("\n" + line if torn else line)

    def read_log(self) -> list[dict[str, Any]]:
        """Return the records of ``log.jsonl``, without a line that a kill tore."""
        if not self.log_path.exists():
            return []
        records = []
        for line in self.log_path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write ``state.json`` in one step."""
        write_json(self.state_path, dict(state))

    def load_state(self) -> dict[str, Any]:
        """Read ``state.json``.

        Raises:
            UserError: It is missing or damaged, so there is nothing to resume.
        """
        try:
            state = json.loads(self.state_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._cannot_resume(str(error)) from error
        if not isinstance(state, dict):
            raise self._cannot_resume(f"a JSON {type(state).__name__}, not an object")
        return state

    def _cannot_resume(self, found: str) -> UserError:
        return UserError(
            "There is no unfinished run to resume here.",
            where=str(self.state_path),
            found=found,
            allowed="the output directory of a run that was stopped",
            hint="check --output, or start anew without --resume",
        )

    def _log_is_torn(self) -> bool:
        if not self.log_path.exists() or self.log_path.stat().st_size == 0:
            return False
        with open(self.log_path, "rb") as file:
            file.seek(-1, 2)
            return file.read(1) != b"\n"
