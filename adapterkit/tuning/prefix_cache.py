"""The user's cache of hidden states: shared by runs, bounded, and never trusted half-written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from adapterkit.runs.atomic import atomic_file, remove_leftovers
from adapterkit.runs.errors import UserError

LIMIT_VARIABLE = "ADAPTERKIT_PREFIX_CACHE_BYTES"
DEFAULT_LIMIT = 10_000_000_000

_STATES, _LOCKS, _ROOM = "states.bin", "locks", "room"
_SPARE = 500_000_000
_PATIENCE = 3600.0


class CacheUnavailableError(Exception):
    """States cannot be kept; says why, in words for the user."""


@dataclass(frozen=True)
class PrefixCache:
    """A folder with one folder for each entry, named by its key.

    An entry is written under a lock of its own and appears when it is whole; an entry that is
    there is read without a lock. Removing one that another process reads does it no harm.

    Attributes:
        folder: Where the entries lie.
        limit: Bytes they may have together; the least recently used make room for new ones.
    """

    folder: Path
    limit: int

    def find(self, key: str, size: int) -> Path | None:
        """The file of an entry, if it is there and has `size` bytes."""
        path = self.folder / key / _STATES
        try:
            if path.stat().st_size != size:
                return None
        except OSError:
            return None
        # The time of last use; of a cache that is only to be read it cannot be kept.
        with suppress(OSError):
            os.utime(path)
        return path

    def add(
        self,
        key: str,
        size: int,
        write: Callable[[BinaryIO], None],
        *,
        kept: Collection[str] = (),
        waiting: Callable[[], None] = lambda: None,
    ) -> tuple[Path, bool]:
        """The file of an entry, written now unless another process wrote it meanwhile.

        Args:
            key: Of the entry.
            size: Its bytes.
            write: Writes them.
            kept: Keys of entries that may not be removed to make room.
            waiting: Called once if another process is writing the entry, before it is waited for.

        Returns:
            The file, and whether it was written here.

        Raises:
            CacheUnavailableError: There is no room for it, or the folder cannot be written.
        """
        if size > self.limit:
            raise CacheUnavailableError(f"{size:,} bytes are over its limit of {self.limit:,}")
        try:
            with self._locked(key, waiting):
                found = self.find(key, size)
                return (found, False) if found else (self._write(key, size, write, kept), True)
        except UserError as error:
            raise CacheUnavailableError(error.problem.rstrip(".")) from error
        except (OSError, NotImplementedError) as error:
            raise CacheUnavailableError(f"{self.folder}: {error}") from error

    def _write(
        self, key: str, size: int, write: Callable[[BinaryIO], None], kept: Collection[str]
    ) -> Path:
        place = self.folder / key
        place.mkdir(exist_ok=True)
        remove_leftovers(place)
        with atomic_file(place / _STATES) as file:
            with FileLock(self.folder / _LOCKS / _ROOM):
                self._make_room(size, {key, *kept})
                # Full size at once, so that another writer counts it.
                file.truncate(size)
            write(file)
        return place / _STATES

    def _make_room(self, size: int, kept: Collection[str]) -> None:
        entries = {path: _size(path) for path in self.folder.iterdir() if path.name != _LOCKS}
        others = [path for path in sorted(entries, key=_last_use) if path.name not in kept]
        removable = sum(entries[path] for path in others)
        held, free = sum(entries.values()), shutil.disk_usage(self.folder).free
        if free + removable < size + _SPARE:
            raise CacheUnavailableError(f"too little free disk space for {size:,} bytes")
        for entry in others if held - removable + size <= self.limit else ():
            if held + size <= self.limit and free >= size + _SPARE:
                return
            if self._remove(entry):
                held, free = held - entries[entry], free + entries[entry]
        if held + size > self.limit:
            raise CacheUnavailableError(f"no room for {size:,} bytes in {self.limit:,}")

    def _remove(self, entry: Path) -> bool:
        """Remove an entry that nobody is writing; whether it is gone."""
        lock = FileLock(self.folder / _LOCKS / entry.name)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        try:
            shutil.rmtree(entry, ignore_errors=True)
        finally:
            lock.release()
        return not entry.exists()

    @contextmanager
    def _locked(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        (self.folder / _LOCKS).mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / _LOCKS / key)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waiting()
            try:
                lock.acquire(timeout=_PATIENCE)
            except Timeout:
                raise CacheUnavailableError("another run has been writing it too long") from None
        try:
            yield
        finally:
            lock.release()


def user_prefix_cache() -> PrefixCache:
    """The cache in the user's cache folder, with the limit that the environment sets.

    Raises:
        UserError: The limit is no number of bytes.
    """
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("adapterkit", appauthor=False)) / "prefix"
    stated = os.environ.get(LIMIT_VARIABLE, str(DEFAULT_LIMIT))
    if not (stated.isascii() and stated.isdigit()):
        raise UserError(
            "the limit of the prefix cache is no number of bytes",
            where=f"environment variable {LIMIT_VARIABLE}",
            found=stated,
            allowed="a whole number; 0 keeps nothing",
            hint="correct it, or unset it",
        )
    return PrefixCache(folder, int(stated))


def _size(entry: Path) -> int:
    total = 0
    for path in entry.iterdir() if entry.is_dir() else (entry,):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def _last_use(entry: Path) -> float:
    for path in (entry / _STATES, entry):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0
