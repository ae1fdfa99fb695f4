"""Runs that may be packed as one: finished, as they were written, and alike but for the seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.manifest import RunManifest, load
from adapterkit.runs.sealing import broken_seal


def read_sealed(run: str | Path) -> RunManifest:
    """Read a finished run that is as it was written.

    Raises:
        UserError: It is unfinished or damaged, or was changed afterwards.
    """
    directory = RunDirectory(Path(run))
    manifest = load(directory.path)
    if manifest.status != "finished":
        raise UserError(
            "The run is not finished.",
            where=str(directory.path),
            found=manifest.status,
            hint="finish it with `adapterkit tune --resume`",
        )
    broken = broken_seal(directory)
    if broken is not None:
        raise UserError(
            "The run is not as it was written.",
            where=str(directory.path),
            found=broken,
            hint="restore the file, or tune again",
        )
    return manifest


def check_alike(manifests: Sequence[RunManifest], names: Sequence[str]) -> None:
    """Check that runs differ in nothing but their seeds.

    Args:
        manifests: Their ``run.json``.
        names: What they are called in errors.

    Raises:
        UserError: There is none, two have the same seed, or something else differs.
    """
    if not manifests:
        raise UserError("There is no run to pack.", allowed="one run directory or several")
    first = _identity(manifests[0])
    for manifest, name in zip(manifests[1:], names[1:], strict=True):
        other = _identity(manifest)
        for what, value in first.items():
            if other[what] != value:
                raise UserError(
                    f"The runs differ in more than their seeds: in their {what}.",
                    where=name,
                    found=str(other[what])[:300],
                    allowed=f"{str(value)[:300]} ({names[0]})",
                    hint="pack them one by one",
                )
    seeds = [manifest.seed for manifest in manifests]
    if len(set(seeds)) < len(seeds):
        raise UserError(
            "Two runs have the same seed.",
            where=", ".join(names),
            found=", ".join(map(str, seeds)),
            hint="name each run once",
        )


def taught_by(manifest: RunManifest) -> dict[str, Any] | None:
    """What taught a run, without where it lay; ``None`` where labels alone were learned."""
    record = (manifest.model_extra or {}).get("teacher")
    if record is None:
        return None
    kept = ("plan", "sha256", "score", "weight", "temperature")
    return {**{k: record[k] for k in kept}, "backbone": record["backbone"]["fingerprint"]}


def _identity(manifest: RunManifest) -> dict[str, Any]:
    return {
        "task": manifest.task,
        "labels": manifest.labels,
        "plan": manifest.plan,
        "backbone": manifest.backbone.fingerprint,
        "protocol": manifest.protocol,
        "data": {split: record.sha256 for split, record in manifest.data.splits.items()},
        "hyper-parameters": manifest.hyperparameters,
        "teacher": taught_by(manifest),
        "frozen adapters": [
            each["sha256"]
            for key in ("fused", "stacked")
            for each in (manifest.model_extra or {}).get(key) or ()
        ],
    }
