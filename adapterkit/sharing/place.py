"""What a place that keeps packages can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapterkit.sharing.manifest import PackageManifest
from adapterkit.sharing.names import Reference


@dataclass(frozen=True)
class Stored:
    """A version of a package at a place.

    Attributes:
        name: ``task@plan``.
        version: What the place calls the version: ``v2``, or a commit.
        digest: SHA-256 of its archive.
        manifest: Its description.
    """

    name: str
    version: str
    digest: str
    manifest: PackageManifest


@dataclass(frozen=True)
class Entry:
    """A line of a place's list.

    Attributes:
        name: ``task@plan``.
        version: Its version.
        aliases: What else the version is called.
        task: Its task.
        plan: Its plan.
        data: Where the data of its score came from; ``sample`` is no corpus.
        score: Its score, if it was scored.
        n: Seeds of the score.
        bytes: What it weighs.
        digest: SHA-256 of its archive; none where the place keeps files one by one.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    task: str
    plan: str
    data: str
    score: float | None
    n: int
    bytes: int
    digest: str | None


class Place(Protocol):
    """A folder or a hub that keeps packages."""

    @property
    def id(self) -> str:
        """What names the place."""

    def push(self, folder: Path, aliases: tuple[str, ...] = ()) -> Stored:
        """Add a package; one that is there already is not added again.

        Args:
            folder: The package, which is verified first.
            aliases: What the version is called besides.

        Raises:
            UserError: The package is not in order, or the place cannot be written.
        """

    def fetch(self, reference: Reference, target: Path) -> Stored:
        """Write a package into a new folder, verified.

        Args:
            reference: Which.
            target: The folder.

        Raises:
            UserError: There is no such package, it cannot be fetched, or is not in order.
        """

    def entries(self) -> list[Entry]:
        """What the place has.

        Raises:
            UserError: It cannot be read.
        """
