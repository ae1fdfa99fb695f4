"""A finished run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterkit.runs import manifest as manifests
from adapterkit.runs.manifest import LedgerRecord, RunManifest


@dataclass(frozen=True)
class Run:
    """A run directory and what its ``run.json`` says.

    Attributes:
        path: The directory.
        manifest: Its ``run.json``.
    """

    path: Path
    manifest: RunManifest

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Measures of dev and test."""
        return self.manifest.metrics

    @property
    def ledger(self) -> LedgerRecord:
        """Parameters and bytes."""
        return self.manifest.ledger

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Read a finished run.

        Raises:
            UserError: If there is none, or it is damaged.
        """
        return cls(Path(path), manifests.load(path))
