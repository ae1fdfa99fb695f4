"""What a backbone's configuration states, read without loading anything."""

from __future__ import annotations

import json
from pathlib import Path

from adapterkit.backbones.bundled_folder import BUNDLED, bundled_folder


def stated_steps(source: str | Path) -> int | None:
    """The number of recursion steps a backbone says it has.

    For checking what the user typed before the libraries, which take seconds, are loaded.

    Args:
        source: ``"bundled"``, a folder, or a hub id.

    Returns:
        ``None`` where it cannot be told at once; loading the backbone tells it, or says why not.
    """
    folder = bundled_folder() if source == BUNDLED else Path(source).expanduser()
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    steps = config.get("num_hidden_layers") if isinstance(config, dict) else None
    return steps if isinstance(steps, int) and steps > 0 else None
