"""What the verbs that make packages share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterkit.cli import output

if TYPE_CHECKING:
    from adapterkit.sharing.manifest import PackageManifest

Target = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="The folder to write; it must not exist.")
]
BackboneOption = Annotated[
    str | None,
    typer.Option("--backbone", metavar="B", help="Where the backbone is, if it was moved."),
]


def print_package(manifest: PackageManifest) -> None:
    """Print what a package is."""
    facts: list[tuple[str, Any]] = [
        ("package", manifest.name),
        ("task", manifest.task),
        ("plan", manifest.plan),
        ("backbone", f"{manifest.backbone.id} ({manifest.backbone.fingerprint})"),
        ("data", manifest.data.source),
    ]
    for split, score in manifest.scores.items():
        spread = "" if score.sd is None else f" ± {score.sd:.4f}"
        told = f"{score.mean:.4f}{spread} {manifest.metric}, n = {score.n}"
        facts.append((f"{split} score", told))
    facts += [
        ("made from", manifest.origin.kind),
        ("shipped", output.human_bytes(manifest.ledger.shipped_bytes)),
        ("files", len(manifest.files)),
        ("licence", manifest.licence),
    ]
    output.print_facts(facts)
