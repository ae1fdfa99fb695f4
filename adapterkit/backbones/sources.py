"""Where a backbone is: bundled, in a folder, in a package, or on the Hugging Face Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from adapterkit.backbones.bundled_folder import BUNDLED, bundled_folder
from adapterkit.backbones.hub import PUBLISHED, fetch
from adapterkit.backbones.packaged import MINILM, minilm_folder
from adapterkit.runs.errors import UserError, nearest

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Located:
    """A backbone's folder.

    Attributes:
        id: What names it, and finds it again.
        path: The folder.
    """

    id: str
    path: Path


def locate(source: str | Path) -> Located:
    """Find the folder of a backbone, fetching it if it is on the hub.

    Args:
        source: ``"bundled"``, ``"minilm-l6"``, a folder, or a hub id (``owner/name``).

    Raises:
        UserError: There is no such backbone, or it cannot be fetched.
    """
    if source == BUNDLED:
        return Located(BUNDLED, _bundled())
    if source == MINILM:
        return Located(MINILM, minilm_folder())
    path = Path(source).expanduser()
    if path.is_dir():
        return Located(str(path.resolve()), path.resolve())
    check_source(source)
    return Located(str(source), fetch(str(source)))


def check_source(source: str | Path) -> None:
    """Check that something may be a backbone, without fetching anything.

    Args:
        source: As for `locate`.

    Raises:
        UserError: It names neither a folder nor what could be on the hub.
    """
    path = Path(source).expanduser()
    if source in (BUNDLED, MINILM) or path.is_dir():
        return
    if path.exists():
        raise UserError(
            "A backbone is a folder, not a file.",
            where=str(path),
            hint=f"name the folder: {path.parent}",
        )
    if isinstance(source, str) and _HUB_ID.fullmatch(source):
        return
    beside = [BUNDLED, MINILM, *PUBLISHED, *_folders_beside(path)]
    meant = nearest(str(source), beside)
    raise UserError(
        "There is no such backbone.",
        found=str(source),
        allowed=f"'bundled', {MINILM!r}, a folder, or a hub id (owner/name)",
        hint=f"did you mean {meant!r}?" if meant else None,
    )


def _bundled() -> Path:
    path = bundled_folder()
    if not (path / "config.json").is_file():
        raise UserError(
            "This installation of adapterkit lacks the bundled backbone.",
            where=str(path),
            hint="install adapterkit again, or name a folder",
        )
    return path


def _folders_beside(path: Path) -> list[str]:
    parent = path.parent
    if not parent.is_dir():
        return []
    return [str(parent / child.name) for child in parent.iterdir() if child.is_dir()]
