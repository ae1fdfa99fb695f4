"""What a table leaves out, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LeftOut:
    """A run that is not compared.

    Attributes:
        path: Its directory.
        reason: What is wrong with it.
        task: Its task; None where that cannot be read.
    """

    path: Path
    reason: str
    task: str | None = None
