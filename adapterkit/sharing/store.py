"""A folder that keeps packages, on a disk or a file share, for any number of writers."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapterkit.runs.atomic import atomic_file, remove_leftovers
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.runs.lock import hold
from adapterkit.sharing.archive import SUFFIX, unpack_archive, write_archive
from adapterkit.sharing.index import Index, read_index, write_index
from adapterkit.sharing.names import Reference, check_alias
from adapterkit.sharing.place import Entry, Stored

_ARCHIVES: Final = "archives"
_PATIENCE = 600.0


@dataclass(frozen=True)
class Store:
    """A folder with an index and, named by their SHA-256, the archives.

    An archive is in place before the index names it, and the index is replaced in one step while
    the folder is held: a writer that is killed leaves at most an archive that nobody names.

    Attributes:
        folder: The folder.
    """

    folder: Path

    @property
    def id(self) -> str:
        """The folder as an absolute path."""
        return str(self.folder.resolve())

    def push(self, folder: Path, aliases: tuple[str, ...] = ()) -> Stored:
        """Add a package; see `Place.push`."""
        for alias in aliases:
            check_alias(alias)
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch) / f"package{SUFFIX}"
            manifest = write_archive(folder, archive)
            digest, size = sha256_file(archive), archive.stat().st_size
            with hold(self.folder, wait=_PATIENCE):
                self._keep(archive, digest)
                index, version = self._index().with_version(manifest, digest, size, aliases)
                write_index(index, self.folder)
        return Stored(manifest.name, version.version, digest, manifest)

    def fetch(self, reference: Reference, target: Path) -> Stored:
        """Write a package into a new folder; see `Place.fetch`."""
        self._check_there()
        version = self._index().find(reference, self.id)
        archive = self._archive(version.digest)
        if not archive.is_file():
            raise UserError(
                "The store lacks an archive that its index names.",
                where=str(archive),
                hint="push the package again",
            )
        if (found := sha256_file(archive)) != version.digest:
            raise UserError(
                "The archive was changed after it was pushed.",
                where=str(archive),
                found=f"sha256 {found}",
                allowed=f"sha256 {version.digest}",
                hint="push the package again",
            )
        manifest = unpack_archive(archive, target)
        return Stored(reference.name, version.version, version.digest, manifest)

    def entries(self) -> list[Entry]:
        """What the store has; see `Place.entries`."""
        self._check_there()
        return [
            Entry(
                name=name,
                version=version.version,
                aliases=tuple(a for a, v in sorted(listed.aliases.items()) if v == version.version),
                task=version.task,
                plan=version.plan,
                data=version.data,
                score=version.score,
                n=version.n,
                bytes=version.bytes,
                digest=version.digest,
            )
            for name, listed in sorted(self._index().packages.items())
            for version in listed.versions
        ]

    def _index(self) -> Index:
        return read_index(self.folder)

    def _archive(self, digest: str) -> Path:
        return self.folder / _ARCHIVES / f"{digest}{SUFFIX}"

    def _keep(self, archive: Path, digest: str) -> None:
        target = self._archive(digest)
        target.parent.mkdir(exist_ok=True)
        remove_leftovers(self.folder)
        remove_leftovers(target.parent)
        if target.is_file() and sha256_file(target) == digest:
            return
        with atomic_file(target) as file, archive.open("rb") as source:
            while piece := source.read(1 << 20):
                file.write(piece)

    def _check_there(self) -> None:
        if not self.folder.is_dir():
            raise UserError(
                "There is no such store.",
                where=os.fspath(self.folder),
                allowed="a folder that `adapterkit share push` wrote to",
            )
