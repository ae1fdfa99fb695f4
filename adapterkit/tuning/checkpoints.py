"""Which checkpoints of a run can be trusted, and which are kept."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adapterkit.runs.atomic import write_json
from adapterkit.runs.hashing import sha256_file

SEAL_FILE = "sealed.json"
"""Written last into a checkpoint: the checksums of its files. Without it nothing is whole."""

_PREFIX = "checkpoint-"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose seal says that it was written to its end.

    Attributes:
        folder: Where it lies.
        update: The update it was taken after.
        best: The update whose weights had the best dev score by then; ``None`` before any score.
        sha256: Checksum of each of its files.
    """

    folder: Path
    update: int
    best: int | None
    sha256: dict[str, str]

    @property
    def is_intact(self) -> bool:
        """Whether no file has been cut short, changed or lost since."""
        try:
            return all(sha256_file(self.folder / n) == s for n, s in self.sha256.items())
        except OSError:
            return False


def checkpoint_folder(checkpoints: Path, update: int) -> Path:
    """Where the checkpoint taken after an update lies."""
    return checkpoints / f"{_PREFIX}{update}"


def seal(folder: Path, best: int | None) -> None:
    """Declare the checkpoint in `folder` whole, once its files are on the disk."""
    (folder / SEAL_FILE).unlink(missing_ok=True)
    sums = {}
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
        sums[file.name] = sha256_file(file)
    write_json(folder / SEAL_FILE, {"best": best, "sha256": sums})


def last_checkpoint(checkpoints: Path) -> Checkpoint | None:
    """The newest checkpoint from which a run can be brought to its end.

    Its files and those of the best checkpoint it refers to are intact.
    """
    sealed = {found.update: found for found in _sealed(checkpoints)}
    for update in sorted(sealed, reverse=True):
        found = sealed[update]
        best = found if found.best is None else sealed.get(found.best)
        if found.is_intact and best is not None and best.is_intact:
            return found
    return None


def prune(checkpoints: Path, newest: int) -> None:
    """Remove what is no longer needed once the checkpoint of update `newest` is sealed.

    That one and the one before it stay, each with the best one it refers to.
    """
    sealed = {found.update: found for found in _sealed(checkpoints) if found.update <= newest}
    kept = set(sorted(sealed)[-2:])
    kept |= {best for update in kept if (best := sealed[update].best) is not None}
    for folder in checkpoints.glob(f"{_PREFIX}*"):
        if folder not in {checkpoint_folder(checkpoints, update) for update in kept}:
            shutil.rmtree(folder, ignore_errors=True)


def _sealed(checkpoints: Path) -> Iterator[Checkpoint]:
    for path in checkpoints.glob(f"{_PREFIX}*/{SEAL_FILE}"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            update = int(path.parent.name.removeprefix(_PREFIX))
            yield Checkpoint(path.parent, update, content["best"], dict(content["sha256"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
