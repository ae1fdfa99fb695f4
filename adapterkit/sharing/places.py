"""From what a user types to the place that keeps packages."""

from __future__ import annotations

from pathlib import Path

from adapterkit.sharing.place import Place
from adapterkit.sharing.store import Store


def open_place(text: str) -> Place:
    """The place that `text` names: a folder.

    Args:
        text: A folder's path.
    """
    return Store(Path(text).expanduser())
