"""``adapterkit share export`` and ``import``: packages in another library's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapterkit.cli import composing, options, output
from adapterkit.cli.packages import BackboneOption, Target, print_package
from adapterkit.runs.errors import UserError

Format = Annotated[
    str, typer.Option("--format", metavar="peft", help="Whose format; there is one so far.")
]


def export(
    package: Annotated[
        str, typer.Argument(metavar="PACKAGE", help="A package whose plan is LoRA.")
    ],
    folder: Target,
    form: Format = "peft",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="albert|bert",
            help="The stock model it is for: what `backbones export` writes, or the BERT that "
            "the backbone was read from.",
        ),
    ] = "albert",
    backbone: BackboneOption = None,
    json: options.Json = False,
) -> None:
    """Write per-step LoRA as PEFT loads it onto the stock model of its backbone."""
    _check_format(form)
    from adapterkit.sharing.peft.exporting import export_peft

    with output.clear_stdout(json):
        made = export_peft(package, folder, layout=model, backbone=backbone)
    if json:
        output.print_json(
            {"written": str(made.path), "model": made.model, "modules": list(made.modules)}
        )
        return
    output.print_facts(
        [
            ("package", made.manifest.name),
            ("for", f"{made.model} of {made.manifest.backbone.id}"),
            ("modules", len(made.modules)),
            ("written", str(made.path)),
        ]
    )
    typer.echo(f"\nHow PEFT loads it is in {made.path / 'README.md'}.")


def import_(
    source: Annotated[
        Path,
        typer.Argument(metavar="PEFT_DIR", help="What PEFT saved of a token classifier's LoRA."),
    ],
    folder: Target,
    task: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="T",
            help="The task that it is for; the head's outputs must be in the order of its tags.",
        ),
    ],
    backbone: Annotated[
        str,
        typer.Option("--backbone", metavar="B", help="The backbone that it was trained on."),
    ],
    name: composing.Name = None,
    licence: Annotated[
        str,
        typer.Option("--licence", metavar="ID", help="Of the package, such as apache-2.0."),
    ] = "unknown",
    form: Format = "peft",
    json: options.Json = False,
) -> None:
    """Make a package of the LoRA that PEFT saved, where adapterkit's computes the same."""
    _check_format(form)
    from adapterkit.sharing.peft.settings import read_settings

    # What cannot be imported is told before the libraries, which take seconds, are loaded.
    read_settings(source / "adapter_config.json")
    from adapterkit.sharing.peft.importing import import_peft

    with output.clear_stdout(json):
        manifest = import_peft(
            source, folder, task=task, backbone=backbone, name=name, licence=licence
        )
    if json:
        output.print_json({**manifest.as_dict(), "written": [str(folder)]})
        return
    print_package(manifest)
    typer.echo(f"\nWhat to type next:\n  adapterkit evaluate {folder}")


def _check_format(form: str) -> None:
    if form != "peft":
        raise UserError(
            "There is no such format.",
            where="--format",
            found=form,
            allowed="peft",
            hint="plain `adapters` reads packages as they are",
        )
