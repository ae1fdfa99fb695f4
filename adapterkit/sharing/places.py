"""From what a user types to the place that keeps packages."""

from __future__ import annotations

from pathlib import Path

from adapterkit.sharing.hub_place import PREFIX, HubRepository
from adapterkit.sharing.place import Place
from adapterkit.sharing.store import Store


def open_place(text: str) -> Place:
    """The place that `text` names.

    Args:
        text: A folder's path, or ``hub:owner/name``.

    Raises:
        UserError: It names no repository at the Hub, where it should.
    """
    if text.startswith(PREFIX):
        return HubRepository.parse(text)
    return Store(Path(text).expanduser())
