"""A package, or whatever else holds what was learned, as a model again."""

from __future__ import annotations

from pathlib import Path

from adapterkit.backbones.loading import Backbone
from adapterkit.backbones.tokenizer_fingerprint import tokenizer_fingerprint
from adapterkit.backbones.trained_on import TrainedOn, load_trained_on
from adapterkit.plans.loading import load_adapted
from adapterkit.runs.errors import UserError
from adapterkit.runs.manifest import DataRecord
from adapterkit.sharing.archive import opened
from adapterkit.sharing.layout import MANIFEST_FILE
from adapterkit.sharing.locating import is_package, located
from adapterkit.sharing.manifest import PackageManifest
from adapterkit.sharing.verifying import verify_package
from adapterkit.tuning.reloading import LoadedAdapter, load_run


def load_learned(
    source: str | Path, *, name: str | None = None, backbone: str | Path | None = None
) -> LoadedAdapter:
    """Load a run or a package onto its backbone.

    Args:
        source: A run directory, a package's folder or archive, or the name of one that was pulled.
        name: What adapters and head are to be called in the model; by default as when it was tuned.
        backbone: Where a package's backbone is, if not where the package says.

    Raises:
        UserError: It is not there, is damaged, or its backbone is gone or another one.
    """
    path = located(source)
    if is_package(path):
        with opened(path) as folder:
            return load_package(folder, name=name, backbone=backbone)
    if backbone is not None:
        raise UserError(
            "A run is loaded on the backbone that it was trained on.",
            where=f"--backbone {backbone}",
            found=f"{source} is a run directory",
            hint="leave --backbone out",
        )
    return load_run(path, name=name)


def load_package(
    folder: str | Path, *, name: str | None = None, backbone: str | Path | None = None
) -> LoadedAdapter:
    """Verify a package, and load it onto its backbone.

    Args:
        folder: Its folder.
        name: See `load_learned`.
        backbone: See `load_learned`.

    Raises:
        UserError: The package is not in order, or its backbone is gone or another one.
    """
    folder = Path(folder)
    manifest = verify_package(folder)
    described, stated = folder / MANIFEST_FILE, manifest.backbone
    where = f"{described}: backbone"
    trained_on = TrainedOn("package", where, stated.id, stated.fingerprint, "--backbone")
    loaded = load_trained_on(trained_on, backbone)
    _check_fit(described, manifest, loaded)
    applied = load_adapted(loaded.model, folder, name=name)
    loaded.model.active_head = applied.head
    loaded.model.eval()
    splits = {split: record.model_dump() for split, record in manifest.data.splits.items()}
    return LoadedAdapter(
        task=manifest.config(),
        backbone=loaded,
        applied=applied,
        max_length=manifest.max_length,
        protocol=manifest.protocol,
        data=DataRecord.model_validate(
            {"source": manifest.data.source, "location": "", "splits": splits}
        ),
    )


def _check_fit(described: Path, manifest: PackageManifest, loaded: Backbone) -> None:
    """Hold the tokenizer and the longest text, which no fingerprint covers, to a package's."""
    stated, tokenizer = manifest.backbone, tokenizer_fingerprint(loaded.tokenizer)
    if tokenizer != stated.tokenizer:
        raise UserError(
            "The package belongs to a backbone with another tokenizer.",
            where=f"{described}: backbone.tokenizer",
            found=f"{tokenizer} ({loaded.id})",
            allowed=f"{stated.tokenizer} ({stated.id})",
            hint="name the backbone it was trained on with --backbone",
        )
    longest = loaded.model.config.max_position_embeddings
    if manifest.max_length > longest:
        raise UserError(
            "The package's windows are longer than its backbone can read.",
            where=f"{described}: max_length",
            found=str(manifest.max_length),
            allowed=f"1 to {longest}",
        )
