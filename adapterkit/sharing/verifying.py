"""Checking a package before anything of it is loaded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from adapterkit.backbones.safety import MAX_JSON_BYTES
from adapterkit.plans.manifest import read_plan_manifest
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.sharing.configs import (
    check_adapter_config,
    check_fusion_config,
    check_head_config,
    head_labels,
)
from adapterkit.sharing.layout import (
    HEAD_CONFIG_FILE,
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_PACKAGE_BYTES,
    PLAN_FILE,
    UNLISTED,
    is_adapter_config,
    is_allowed,
    is_fusion_config,
    is_tensor_file,
)
from adapterkit.sharing.manifest import PackageManifest, mechanisms_of, read_manifest
from adapterkit.sharing.names import check_name
from adapterkit.sharing.tensor_files import check_tensor_file


def verify_package(folder: str | Path, *, backbone: str | None = None) -> PackageManifest:
    """Check a package's folder: description, files, sums, configurations and numbers.

    Nothing is loaded into a model, no link is followed, and memory does not grow with what the
    files claim.

    Args:
        folder: The folder.
        backbone: Fingerprint of the backbone it is to be loaded on, where that is known.

    Returns:
        What ``adapterkit.json`` says.

    Raises:
        UserError: Anything is not as it was packed, or not allowed in a package.
    """
    path = Path(folder)
    present = _present_files(path)
    manifest = read_manifest(path)
    _check_files(path, manifest, present)
    _check_backbone(path, manifest, backbone)
    _check_description(path, manifest)
    elements = 0
    for name in manifest.files:
        if is_tensor_file(name):
            header = check_tensor_file(path / name)
            elements += sum(_size(tensor.shape) for tensor in header.values())
        elif is_adapter_config(name):
            check_adapter_config(path / name)
        elif is_fusion_config(name):
            check_fusion_config(path / name)
    if HEAD_CONFIG_FILE in manifest.files:
        check_head_config(path / HEAD_CONFIG_FILE)
        _check_labels(path, manifest)
    _check_counts(path, manifest, elements)
    return manifest


def _present_files(folder: Path) -> dict[str, int]:
    """The size of every file, by name; folders hold nothing else."""
    found: dict[str, int] = {}
    total = 0
    try:
        for name, entry in _walk(folder, ""):
            mode = entry.lstat().st_mode
            if not stat.S_ISREG(mode):
                raise _refused(
                    folder, name, "A package holds plain files alone.", "a link or device"
                )
            size = entry.lstat().st_size
            largest = MAX_FILE_BYTES if is_tensor_file(name) else MAX_JSON_BYTES
            total += size
            if size > largest or total > MAX_PACKAGE_BYTES:
                raise _refused(folder, name, "The package is too large.", f"{size:,} bytes")
            found[name] = size
            if len(found) > MAX_FILES:
                raise _refused(folder, name, "The package has too many files.", "")
    except OSError as error:
        raise UserError(
            "The package cannot be read.",
            where=str(folder),
            found=error.strerror or str(error),
            hint="name the folder or archive that `adapterkit share pack` wrote",
        ) from error
    return found


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            # Not one level more than a package has, and links are not followed.
            if entry.is_dir(follow_symlinks=False) and not prefix:
                yield from _walk(Path(entry.path), f"{name}/")
            elif not is_allowed(name):
                raise _refused(
                    folder, name, "The package has a file that does not belong in one.", ""
                )
            else:
                yield name, Path(entry.path)


def _check_files(folder: Path, manifest: PackageManifest, present: dict[str, int]) -> None:
    listed = manifest.files
    for name in listed:
        if not is_allowed(name) or name in UNLISTED:
            raise _refused(
                folder, name, "The package lists a file that does not belong in one.", ""
            )
        if name not in present:
            raise _refused(folder, name, "A file of the package is missing.", "no such file")
    for name in present:
        if name not in listed and name not in UNLISTED:
            raise _refused(folder, name, "A file was added after the package was packed.", "")
    for name, record in listed.items():
        if present[name] != record.bytes:
            problem = "A file was changed after the package was packed."
            raise _refused(folder, name, problem, f"{present[name]:,} bytes, not {record.bytes:,}")
    for name, record in listed.items():
        if sha256_file(folder / name) != record.sha256:
            problem = "A file was changed after the package was packed."
            raise _refused(folder, name, problem, "another sha256 than the description's")


def _check_backbone(folder: Path, manifest: PackageManifest, fingerprint: str | None) -> None:
    if fingerprint not in (None, manifest.backbone.fingerprint):
        raise UserError(
            "The package belongs to another backbone.",
            where=f"{folder / MANIFEST_FILE}: backbone.fingerprint",
            found=str(fingerprint),
            allowed=f"{manifest.backbone.fingerprint} ({manifest.backbone.id})",
            hint="name the backbone it was trained on with --backbone",
        )


def _check_description(folder: Path, manifest: PackageManifest) -> None:
    """Hold the parts of the description to each other and to ``plan.json``."""
    check_name(manifest.name, source=f"{folder / MANIFEST_FILE}: name")
    saved = read_plan_manifest(folder)
    plan = StepPlan.parse(manifest.plan, manifest.backbone.steps, source=str(folder / PLAN_FILE))
    try:
        task = manifest.config()
    except ValidationError as error:
        raise _contradiction(folder, "task_config", error.errors()[0]["msg"], "a task") from error
    known = {
        "plan": (manifest.plan, str(plan)),
        "plan of plan.json": (saved.plan, str(plan)),
        "backbone": (saved.backbone, manifest.backbone.fingerprint),
        "steps": (saved.steps, manifest.backbone.steps),
        "mechanisms": (list(manifest.mechanisms), mechanisms_of(plan, manifest.backbone.steps)),
        "labels": (list(manifest.labels), list(task.output_names)),
        "task": (manifest.task, task.name),
    }
    for field, (found, allowed) in known.items():
        if found != allowed:
            raise _contradiction(folder, field, str(found)[:300], str(allowed)[:300])


def _check_labels(folder: Path, manifest: PackageManifest) -> None:
    found = head_labels(folder / HEAD_CONFIG_FILE)
    if found != list(manifest.labels):
        raise _contradiction(folder, "labels", ", ".join(found), ", ".join(manifest.labels))


def _check_counts(folder: Path, manifest: PackageManifest, elements: int) -> None:
    """Four bytes a number: adapterkit ships float32."""
    if 4 * elements != manifest.ledger.shipped_bytes:
        shipped = f"{manifest.ledger.shipped_bytes:,} bytes"
        raise _contradiction(folder, "ledger.shipped_bytes", shipped, f"{4 * elements:,} bytes")


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size


def _refused(folder: Path, name: str, problem: str, found: str) -> UserError:
    return UserError(
        problem,
        where=f"{folder}: {ascii(name[:200])[1:-1]}",
        found=found or None,
        hint="fetch or pack it again, and do not load it",
    )


def _contradiction(folder: Path, field: str, found: str, allowed: str) -> UserError:
    return UserError(
        "The package contradicts itself.",
        where=f"{folder / MANIFEST_FILE}: {field}",
        found=found,
        allowed=allowed,
        hint="fetch or pack it again, and do not load it",
    )
