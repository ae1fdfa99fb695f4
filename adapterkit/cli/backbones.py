"""``adapterkit backbones``: what can be adapted, and getting it in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterkit.cli import options, output
from adapterkit.cli.compress import compress

if TYPE_CHECKING:
    from adapterkit.backbones.loading import Backbone
    from adapterkit.backbones.stated import StatedBackbone

app = typer.Typer(
    help="List, show, import, export, compress and fingerprint backbones.", no_args_is_help=True
)
app.command("compress")(compress)

Source = Annotated[
    str, typer.Argument(metavar="BACKBONE", help="'bundled', a folder, or a Hugging Face Hub id.")
]
Foreign = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A MiniALBERT, ALBERT or BERT checkpoint: a folder, a hub id, or 'minilm-l6'.",
    ),
]
Target = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder to write; it must not exist yet.")
]


@app.command("list")
def list_backbones(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Also list the backbones in this folder."),
    ] = None,
    json: options.Json = False,
) -> None:
    """List the built-in backbone, and those in a folder."""
    sources = ["bundled"]
    if folder is not None:
        sources += sorted(str(config.parent) for config in folder.glob("*/config.json"))
    with output.clear_stdout(json):
        found = [_facts(source) for source in sources]
    if json:
        output.print_json({"backbones": found})
        return
    columns = ("id", "steps", "hidden_size", "parameters", "layerwise", "fingerprint")
    output.print_table(columns, [[facts[name] for name in columns] for facts in found])


@app.command("show")
def show(backbone: Source = "bundled", json: options.Json = False) -> None:
    """Show a backbone's shape, size and origin."""
    with output.clear_stdout(json):
        facts = _facts(backbone)
    if json:
        output.print_json(facts)
    else:
        output.print_facts(facts.items())


@app.command("import")
def import_backbone(
    source: Foreign,
    directory: Target,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="DIR", help="Tokenizer files, where SOURCE has none."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Read a MiniALBERT, ALBERT or BERT checkpoint and write it as a backbone folder."""
    from adapterkit.backbones.importing import import_checkpoint
    from adapterkit.backbones.loading import load_backbone

    with output.clear_stdout(json):
        notes = import_checkpoint(source, directory, tokenizer=tokenizer)
        facts = _loaded_facts(load_backbone(directory))
    if json:
        output.print_json({**facts, "notes": list(notes)})
        return
    output.print_facts([*facts.items(), *(("note", note) for note in notes)])
    typer.echo(f"Next: adapterkit tune --task bc5cdr --mode adapter --backbone {directory}")


@app.command("export")
def export(backbone: Source, directory: Target, json: options.Json = False) -> None:
    """Write a backbone as a plain ALBERT folder that stock transformers loads."""
    from adapterkit.backbones.exporting import export_albert
    from adapterkit.backbones.loading import load_backbone

    with output.clear_stdout(json):
        export_albert(load_backbone(backbone), directory)
    if json:
        output.print_json({"path": directory})
    else:
        typer.echo(f"Written: {directory}")


@app.command("fingerprint")
def fingerprint(backbone: Source = "bundled", json: options.Json = False) -> None:
    """Print the fingerprint of what a backbone computes."""
    with output.clear_stdout(json):
        facts = _facts(backbone)
    if json:
        output.print_json({"id": facts["id"], "fingerprint": facts["fingerprint"]})
    else:
        typer.echo(facts["fingerprint"])


def _facts(source: str) -> dict[str, Any]:
    """What `show` prints, from the backbone's files where they say it all."""
    from adapterkit.backbones.sources import check_source
    from adapterkit.backbones.stated import stated_backbone
    from adapterkit.backbones.stated_fingerprint import stated_fingerprint

    stated = stated_backbone(source)
    fingerprint = stated_fingerprint(stated) if stated is not None else None
    if stated is not None and fingerprint is not None:
        return _stated_facts(stated, fingerprint)
    check_source(source)
    from adapterkit.backbones.loading import load_backbone

    return _loaded_facts(load_backbone(source))


def _stated_facts(backbone: StatedBackbone, fingerprint: str) -> dict[str, Any]:
    from adapterkit.backbones.sharing import sharing
    from adapterkit.backbones.weights import backbone_weights

    shape = backbone.shape
    return {
        "id": backbone.id,
        "steps": shape.num_hidden_layers,
        "shared": sharing(shape),
        "hidden_size": shape.hidden_size,
        "vocabulary": shape.vocab_size,
        "parameters": sum(weights.learnable for weights in backbone_weights(shape)),
        "layerwise": shape.has_layerwise,
        "fingerprint": fingerprint,
        "path": str(backbone.path),
    }


def _loaded_facts(backbone: Backbone) -> dict[str, Any]:
    from adapterkit.backbones.pruned import parameter_count
    from adapterkit.backbones.sharing import sharing

    return {
        "id": backbone.id,
        "steps": backbone.steps,
        "shared": sharing(backbone.model.config),
        "hidden_size": backbone.hidden_size,
        "vocabulary": backbone.model.config.vocab_size,
        "parameters": parameter_count(backbone.model),
        "layerwise": backbone.has_layerwise,
        "fingerprint": backbone.fingerprint,
        "path": str(backbone.path) if backbone.path else None,
    }
