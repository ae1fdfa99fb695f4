"""Packages that were pulled, and the digests that pin what their names stand for."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapterkit.runs.atomic import write_json
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.runs.lock import hold
from adapterkit.sharing.archive import unpack_archive
from adapterkit.sharing.names import LATEST, Reference
from adapterkit.sharing.place import Place, Stored
from adapterkit.sharing.signing import check_signature
from adapterkit.sharing.verifying import verify_package

CACHE_VARIABLE: Final = "ADAPTERKIT_PACKAGE_CACHE"
_PINS: Final = "pins.json"
_PATIENCE = 600.0


@dataclass(frozen=True)
class PackageCache:
    """A folder with every package that was pulled, by digest, and the pins.

    Attributes:
        folder: The folder.
    """

    folder: Path

    def pull(
        self, reference: Reference, place: Place, key: Path | None = None
    ) -> tuple[Path, Stored]:
        """Fetch a package, keep it, and pin what the reference stands for.

        Args:
            reference: Which package.
            place: Where from.
            key: The public key it must be signed with; one that is not is neither kept nor pinned.

        Returns:
            The folder of the package, and what it is.

        Raises:
            UserError: It cannot be fetched or is not in order, or a version that was pulled before
                stands for other bytes now.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            fetched = Path(scratch) / "package"
            stored = place.fetch(reference, fetched)
            check_signature(fetched, key)
            with hold(self.folder, wait=_PATIENCE):
                pins = self._pins()
                self._check_pin(pins, place.id, reference, stored)
                target = self.folder / stored.digest
                if not target.is_dir():
                    os.rename(fetched, target)
                pinned = pins.setdefault(place.id, {})
                for tag in (reference.tag, stored.version, f"sha256:{stored.digest}"):
                    pinned[f"{stored.name}:{tag}"] = stored.digest
                write_json(self.folder / _PINS, pins)
        verify_package(target)
        return target, stored

    def keep(self, archive: Path) -> Path:
        """Unpack an archive to where it stays, under no name.

        Raises:
            UserError: It is not in order.
        """
        target = self.folder / sha256_file(archive)
        if not target.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            with hold(self.folder, wait=_PATIENCE):
                if not target.is_dir():
                    unpack_archive(archive, target)
        return target

    def find(self, reference: Reference, place: str | None = None) -> Path:
        """The folder of a package that was pulled before; nothing is fetched.

        Args:
            reference: Which package.
            place: Where it was pulled from; by default anywhere.

        Raises:
            UserError: It was never pulled, or from several places and they differ.
        """
        key = f"{reference.name}:{reference.tag}"
        pins = {where: found for where, found in self._pins().items() if place in (None, where)}
        digests = {found[key]: where for where, found in pins.items() if key in found}
        if len(digests) > 1:
            raise UserError(
                "The package was pulled from several places, and they differ.",
                found=", ".join(f"{where}: sha256:{digest}" for digest, where in digests.items()),
                hint=f"name the one you mean by its digest: {reference.name}:sha256:...",
            )
        for digest in digests:
            if (self.folder / digest).is_dir():
                return self.folder / digest
        known = sorted(
            {name.removesuffix(f":{LATEST}") for found in pins.values() for name in found}
        )
        raise UserError(
            "The package was not pulled yet.",
            where=str(reference),
            found="no such package in the cache",
            allowed=[name for name in known if ":sha256:" not in name][:20] or None,
            hint=f"fetch it with `adapterkit share pull {reference} --from PLACE`",
        )

    def _check_pin(
        self, pins: dict[str, dict[str, str]], place: str, reference: Reference, stored: Stored
    ) -> None:
        """A version stands for the same bytes for ever; an alias may move."""
        pinned = pins.get(place, {}).get(f"{stored.name}:{stored.version}")
        if pinned not in (None, stored.digest):
            raise UserError(
                "The package is not the one that was pulled before under this version.",
                where=f"{place}: {stored.name}:{stored.version}",
                found=f"sha256:{stored.digest}",
                allowed=f"sha256:{pinned}",
                hint="ask whoever keeps the place; to take it all the same, name it by its digest"
                if not reference.is_digest
                else "ask whoever keeps the place",
            )

    def _pins(self) -> dict[str, dict[str, str]]:
        path = self.folder / _PINS
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._damaged(str(error)) from error
        if not isinstance(content, dict) or not all(
            isinstance(found, dict) and all(isinstance(digest, str) for digest in found.values())
            for found in content.values()
        ):
            raise self._damaged("no pins")
        return content

    def _damaged(self, found: str) -> UserError:
        return UserError(
            "The pins of pulled packages are damaged.",
            where=str(self.folder / _PINS),
            found=found[:200],
            hint="remove the file, and pull again",
        )


def user_package_cache() -> PackageCache:
    """The cache in the user's cache folder, or where ``$ADAPTERKIT_PACKAGE_CACHE`` says."""
    import platformdirs

    stated = os.environ.get(CACHE_VARIABLE)
    if stated:
        return PackageCache(Path(stated))
    return PackageCache(
        Path(platformdirs.user_cache_dir("adapterkit", appauthor=False)) / "packages"
    )
