"""Where the bundled backbone lies."""

from __future__ import annotations

from pathlib import Path

BUNDLED = "bundled"
"""The backbone that ships inside the package."""


def bundled_folder() -> Path:
    """The folder of the bundled backbone."""
    return Path(__file__).parent / BUNDLED
