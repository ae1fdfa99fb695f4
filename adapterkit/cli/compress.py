"""``adapterkit backbones compress``: a smaller backbone of another form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from adapterkit.cli import options, output

if TYPE_CHECKING:
    from adapterkit.backbones.loading import Backbone
    from adapterkit.students.compressing import Compressed
    from adapterkit.students.compression import Compression


def compress(
    method: Annotated[
        Literal["kronecker", "mpo", "lada"],
        typer.Option(
            "--method",
            help="Kronecker products, matrix product operators whose central tensor all steps "
            "share, or truncated SVD and pruning.",
        ),
    ],
    directory: Annotated[
        Path,
        typer.Option("--output", metavar="DIR", help="The folder to write; it must not exist yet."),
    ],
    target: Annotated[
        float | None,
        typer.Option("--target", metavar="SHARE", help="Parameters to keep, as a share: 0.25."),
    ] = None,
    forms: Annotated[
        Path | None,
        typer.Option(
            "--forms",
            metavar="FILE.yaml",
            help="In place of a target: the factors of every matrix, such as "
            "'attention: {rows: [2, 192], columns: [192, 2]}'.",
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="BACKBONE", help="'minilm-l6', a BERT's folder, or a hub id."
        ),
    ] = "minilm-l6",
    svd: Annotated[
        float | None,
        typer.Option(
            "--svd",
            metavar="SHARE",
            help="lada: share of a matrix's numbers that its SVD holds; pruning does the rest. "
            "By default both cut alike.",
        ),
    ] = None,
    prune: Annotated[
        Literal["now", "later"],
        typer.Option("--prune", help="lada: prune now, or leave it to distill's 'pruning'."),
    ] = "now",
    start: Annotated[
        Literal["copy", "stable"],
        typer.Option(
            "--start", help="mpo: copy auxiliary tensors to every step, or scale them down too."
        ),
    ] = "copy",
    json: options.Json = False,
) -> None:
    """Write a backbone's matrices as fewer numbers, before any training.

    Prints size, operations and how far each matrix is from the one it stands for. The folder is a
    backbone like any other: distill it (student.backbone=DIR), tune it (--backbone DIR).
    """
    from adapterkit.backbones.loading import load_backbone
    from adapterkit.backbones.saving import save_backbone
    from adapterkit.runs.atomic import ensure_writable
    from adapterkit.students.compressing import compress as compressed
    from adapterkit.students.compression import Compression, check_values
    from adapterkit.students.form_files import read_forms

    # What the file has to hold is known once the backbone is loaded.
    compression = Compression(
        method, target, svd=svd, start=start, forms=None if forms is None else {}
    )
    check_values(compression)
    ensure_writable(directory)
    with output.clear_stdout(json):
        backbone = load_backbone(source)
        if forms is not None:
            read = read_forms(forms, method, backbone.model.config)
            compression = replace(compression, forms=read)
        made = compressed(backbone, compression, prune=prune == "now")
        card = _card(backbone, compression, made, pruned=prune == "now")
        save_backbone(made.model, backbone.tokenizer, directory, card=card)
    facts = {"path": str(directory), "bytes": _bytes(directory), **made.as_dict()}
    if json:
        output.print_json(facts)
        return
    _print(facts, made)
    typer.echo(f"Next: adapterkit distill RECIPE.yaml --set student.backbone={directory}")
    typer.echo(f"  or: adapterkit tune --task bc5cdr --mode full --backbone {directory}")


def _print(facts: dict[str, Any], made: Compressed) -> None:
    planned = made.planned
    output.print_facts(
        [
            (
                "parameters",
                f"{planned.parameters:,} of {planned.source_parameters:,} ({facts['share']:.1%})",
            ),
            ("bytes", f"{facts['bytes']:,}"),
            (
                "operations",
                f"{planned.flops_per_token:,} a token in linear layers, of "
                f"{planned.source_flops_per_token:,}",
            ),
            *(
                [("pruning", f"keeps {planned.keep:.1%} of each factor")]
                if planned.keep < 1
                else []
            ),
        ]
    )
    rows = []
    for module, errors in made.errors.items():
        form = planned.shape.factorised[module]
        sizes = ", ".join(f"{key} {value}" for key, value in form.items() if key != "form")
        shown = f"{min(errors):.3f} to {max(errors):.3f}" if len(errors) > 1 else f"{errors[0]:.3f}"
        rows.append([module, str(form["form"]), sizes, shown])
    output.print_table(("matrix", "form", "sizes", "relative error"), rows)


def _card(
    backbone: Backbone, compression: Compression, made: Compressed, *, pruned: bool
) -> dict[str, Any]:
    # A hub id is of use elsewhere, a path on this machine is not.
    source = (
        backbone.path.name if backbone.path and Path(backbone.id).is_absolute() else backbone.id
    )
    return {
        "name": f"{source}-{compression.method}",
        "compressed_from": {"source": source, "fingerprint": backbone.fingerprint},
        "compression": {
            "method": compression.method,
            "target": compression.target,
            "svd": compression.svd,
            "start": compression.start,
            "pruned": pruned and made.planned.keep < 1,
            **made.as_dict(),
        },
    }


def _bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*.safetensors"))
