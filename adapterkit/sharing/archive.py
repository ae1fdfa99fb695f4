"""A package as one file: a ``.zip`` whose bytes follow from its content alone."""

from __future__ import annotations

import contextlib
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from adapterkit.backbones.safety import MAX_JSON_BYTES
from adapterkit.runs.atomic import atomic_directory, atomic_file
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.sharing.layout import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_PACKAGE_BYTES,
    is_allowed,
    is_tensor_file,
)
from adapterkit.sharing.manifest import PackageManifest
from adapterkit.sharing.verifying import verify_package

SUFFIX: Final = ".zip"

# The first moment that a zip can tell, and a plain file that everybody may read.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_MODE = (stat.S_IFREG | 0o644) << 16
_UNIX = 3
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
# https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.16: the end of an archive, which
# says how long the list of its entries is.
_END = b"PK\x05\x06"
_LARGEST_END = 22 + 65_535
_LARGEST_DIRECTORY = 1 << 20


def write_archive(folder: str | Path, target: str | Path) -> PackageManifest:
    """Write a package as an archive: the same content gives the same bytes.

    Files are stored as they are, because what compresses them differs between machines.

    Args:
        folder: A package, which is verified first.
        target: The file; it appears whole or not at all.

    Returns:
        What ``adapterkit.json`` says.

    Raises:
        UserError: The package is not in order, or the file cannot be written.
    """
    folder = Path(folder)
    manifest = verify_package(folder)
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    with (
        atomic_file(target) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=True) as archive,
    ):
        for name in names:
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.create_system, entry.external_attr = _UNIX, _MODE
            archive.writestr(entry, (folder / name).read_bytes())
    return manifest


def archive_digest(folder: str | Path) -> tuple[PackageManifest, str]:
    """What a package says of itself, and the SHA-256 that its archive has.

    Raises:
        UserError: The package is not in order.
    """
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / f"package{SUFFIX}"
        return write_archive(folder, archive), sha256_file(archive)


def unpack_archive(
    archive: str | Path, target: str | Path, *, backbone: str | None = None
) -> PackageManifest:
    """Unpack an archive into a new folder, and verify it.

    Names, kinds and sizes are checked before a byte is written, and no entry gets more bytes than
    it declares.

    Args:
        archive: The file.
        target: A folder that does not exist yet or is empty. It appears whole and verified, or not
            at all.
        backbone: As for `verify_package`.

    Returns:
        What ``adapterkit.json`` says.

    Raises:
        UserError: The archive is damaged or holds what is not allowed, or the package in it is not
            in order.
    """
    path = Path(archive)
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as file, atomic_directory(target) as folder:
            for entry in _checked_entries(path, file):
                _extract(path, file, entry, folder / entry.filename)
            return verify_package(folder, backbone=backbone)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError) as error:
        raise _refused(path, "", "The archive is damaged.", str(error)[:200]) from error
    except (ValueError, RuntimeError) as error:
        raise _refused(path, "", "The archive cannot be read.", str(error)[:200]) from error
    except OSError as error:
        raise UserError(
            "The archive cannot be read.", where=str(path), found=error.strerror or str(error)
        ) from error


@contextlib.contextmanager
def opened(package: str | Path) -> Iterator[Path]:
    """The folder of a package, of an archive a temporary one.

    Args:
        package: A folder, which is not verified by this, or an archive.

    Raises:
        UserError: An archive cannot be unpacked; see `unpack_archive`.
    """
    path = Path(package)
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "package"
        unpack_archive(path, folder)
        yield folder


def _check_directory(path: Path) -> None:
    """Refuse a list of entries that would fill the memory before any of it could be checked."""
    size = path.stat().st_size
    if size > MAX_PACKAGE_BYTES + _LARGEST_DIRECTORY:
        raise _refused(path, "", "The archive is too large.", f"{size:,} bytes")
    with path.open("rb") as file:
        file.seek(max(0, size - _LARGEST_END))
        end = file.read()
    at = end.rfind(_END)
    if at < 0 or len(end) < at + 22:
        raise zipfile.BadZipFile("it has no end")
    (listed,) = struct.unpack_from("<L", end, at + 12)
    if listed > _LARGEST_DIRECTORY:
        raise _refused(path, "", "The archive has too many files.", "")


def _checked_entries(path: Path, file: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = file.infolist()
    names = [entry.filename for entry in entries]
    if len(entries) > MAX_FILES:
        raise _refused(path, "", "The archive has too many files.", f"{len(entries):,}")
    if len(set(names)) < len(names):
        raise _refused(path, "", "The archive holds a name twice.", "")
    total = 0
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        # `orig_filename` still has what the library would quietly cut off.
        if not is_allowed(entry.filename) or entry.orig_filename != entry.filename:
            raise _refused(path, entry.orig_filename, "The archive has a file out of place.", "")
        if kind not in (0, stat.S_IFREG) or entry.is_dir():
            raise _refused(path, entry.filename, "An archive holds plain files alone.", "a link")
        if entry.flag_bits & _ENCRYPTED:
            raise _refused(path, entry.filename, "The archive is encrypted.", "")
        largest = MAX_FILE_BYTES if is_tensor_file(entry.filename) else MAX_JSON_BYTES
        total += entry.file_size
        if entry.file_size > largest or total > MAX_PACKAGE_BYTES:
            size = f"{entry.file_size:,} bytes"
            raise _refused(path, entry.filename, "The archive is too large.", size)
    return entries


def _extract(path: Path, file: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    left = entry.file_size
    with file.open(entry) as source, target.open("xb") as written:
        while piece := source.read(_CHUNK):
            left -= len(piece)
            if left < 0:
                problem = "A file of the archive is larger than it says."
                raise _refused(path, entry.filename, problem, "")
            written.write(piece)


def _refused(path: Path, name: str, problem: str, found: str) -> UserError:
    return UserError(
        problem,
        where=f"{path}: {ascii(name[:200])[1:-1]}" if name else str(path),
        found=found or None,
        allowed="an archive that `adapterkit share pack --zip` wrote",
        hint="fetch it again, and do not unpack it otherwise",
    )
