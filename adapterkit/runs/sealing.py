"""Sealing a run: the sum of every file it left, and one of ``run.json`` itself.

A seal shows that a run is as it was written. It is no signature: who can write the file can seal it
anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.hashing import sha256_file, sha256_text
from adapterkit.runs.manifest import FileRecord, RunManifest

DIGEST: Final = "digest"


def sealed(manifest: RunManifest, directory: RunDirectory) -> RunManifest:
    """Return a manifest with the sums of ``adapter/`` and ``predictions/`` and its own digest.

    Args:
        manifest: What ``run.json`` is to hold.
        directory: The run directory, where everything but ``run.json`` is written already.

    Raises:
        OSError: A file cannot be read.
    """
    files = {
        name: FileRecord(sha256=sha256_file(path), bytes=path.stat().st_size)
        for name, path in sorted(_sealed_files(directory))
    }
    whole = manifest.model_copy(update={"files": files, "digest": None})
    return whole.model_copy(update={"digest": digest(whole.as_dict())})


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of ``run.json`` in canonical form: keys sorted, no spaces, no digest."""
    kept = {key: value for key, value in content.items() if key != DIGEST}
    return sha256_text(json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def broken_seal(directory: RunDirectory) -> str | None:
    """Say what in a run is not as it was written; None where all is, or nothing was sealed.

    ``run.json`` must be readable; see `manifest.load`.

    Raises:
        OSError: A file cannot be read.
    """
    content = json.loads(directory.manifest_path.read_text(encoding="utf-8"))
    if "files" not in content and DIGEST not in content:
        return None
    if content.get(DIGEST) != digest(content):
        return "run.json was changed after the run: it does not match its digest"
    records = RunManifest.model_validate(content).files or {}
    there = dict(_sealed_files(directory))
    for name, record in records.items():
        if name not in there:
            return f"{name} is missing"
        if (found := there[name].stat().st_size) != record.bytes:
            return f"{name} was changed after the run: {found:,} bytes instead of {record.bytes:,}"
        if sha256_file(there[name]) != record.sha256:
            return f"{name} was changed after the run: it does not match its sha256"
    if added := sorted(set(there) - set(records)):
        return f"{added[0]} was added after the run"
    return None


def _sealed_files(directory: RunDirectory) -> Iterator[tuple[str, Path]]:
    for folder in (directory.adapter_path, directory.predictions_path):
        for path in folder.rglob("*"):
            if path.is_file():
                yield path.relative_to(directory.path).as_posix(), path
