"""``adapterkit share``: packages of what was learned, checked before anything of them is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapterkit.cli import composing, options, output, peft
from adapterkit.cli.packages import BackboneOption, Target, print_package
from adapterkit.runs.errors import UserError

app = typer.Typer(
    help="Pack what runs learned, verify packages, and fetch and publish them.",
    no_args_is_help=True,
)

Package = Annotated[
    Path, typer.Argument(metavar="PACKAGE", help="A package: its folder, or its .zip.")
]


@app.command("pack")
def pack(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="A run directory, or those of several seeds."),
    ],
    folder: Target,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="TASK@PLAN", help="By default made from task and plan."),
    ] = None,
    average_seeds: Annotated[
        bool,
        typer.Option("--average-seeds", help="Pack the mean of the runs, not the best on dev."),
    ] = False,
    licence: Annotated[
        str,
        typer.Option("--licence", metavar="ID", help="Of the package, such as apache-2.0."),
    ] = "unknown",
    backbone: BackboneOption = None,
    archive: Annotated[
        bool, typer.Option("--zip", help="Write DIR.zip as well: same content, same bytes.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Pack what a run learned: weights, plan, scores, card, and the sum of every file."""
    from adapterkit.runs.manifest import load

    # A run that is not there is told before the libraries, which take seconds, are loaded.
    for run in runs:
        load(run)
    from adapterkit.sharing.archive import SUFFIX, write_archive
    from adapterkit.sharing.packing import pack as make

    packed = folder.with_name(folder.name + SUFFIX) if archive else None
    if packed is not None and packed.exists():
        raise UserError(
            "The archive is there already.",
            where=str(packed),
            allowed="a path that does not exist yet",
            hint="choose another --output, or move the old one away",
        )
    with output.clear_stdout(json):
        manifest = make(
            runs,
            folder,
            name=name,
            average_seeds=average_seeds,
            licence=licence,
            backbone=backbone,
        )
        if packed is not None:
            write_archive(folder, packed)
    files = [folder, *([packed] if packed else [])]
    if json:
        output.print_json({**manifest.as_dict(), "written": [str(path) for path in files]})
        return
    print_package(manifest)
    output.print_facts([("written", str(path)) for path in files])
    typer.echo(f"\nWhat to type next:\n  adapterkit share push {folder} PLACE")


@app.command("verify")
def verify(
    package: Package,
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="B", help="Also hold it to this backbone."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC.pem", help="Also demand a signature by this key."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Check every file, number and name of a package without loading anything."""
    from adapterkit.sharing.archive import opened
    from adapterkit.sharing.signing import check_signature
    from adapterkit.sharing.verifying import verify_package

    with output.clear_stdout(json), opened(package) as folder:
        manifest = verify_package(folder, backbone=_fingerprint(backbone))
        signature = check_signature(folder, key)
    if json:
        output.print_json({**manifest.as_dict(), "verified": True, "signature": signature})
        return
    print_package(manifest)
    words = {
        "unsigned": "not signed",
        "signed": "signed; --key says by whom it must be",
        "verified": f"signed by the key {key}",
    }
    output.print_facts([("signature", words[signature])])
    typer.echo(f"\n{package} is as it was packed.")


@app.command("sign")
def sign(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="A package's folder.")],
    key: Annotated[
        Path,
        typer.Option("--key", metavar="PRIVATE.pem", help="An elliptic-curve key, unencrypted."),
    ],
    json: options.Json = False,
) -> None:
    """Sign a package, so that others can tell whose it is (needs the extra 'sign')."""
    from adapterkit.sharing.signing import sign_package

    with output.clear_stdout(json):
        written = sign_package(package, key)
    if json:
        output.print_json({"signature": str(written)})
        return
    output.print_facts([("signature", str(written))])
    typer.echo(f"\nWhat to type next:\n  adapterkit share verify {package} --key PUBLIC.pem")


@app.command("push")
def push(
    package: Package,
    place: Annotated[
        str,
        typer.Argument(metavar="PLACE", help="A folder, made if there is none, or hub:OWNER/NAME."),
    ],
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", metavar="NAME", help="What to call this version besides."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Put a package in a place where others find it."""
    from adapterkit.sharing.archive import opened
    from adapterkit.sharing.places import open_place

    with output.clear_stdout(json), opened(package) as folder:
        target = open_place(place)
        stored = target.push(folder, tuple(alias or ()))
    if json:
        output.print_json(
            {"name": stored.name, "version": stored.version, "digest": f"sha256:{stored.digest}"}
        )
        return
    output.print_facts(
        [
            ("package", stored.name),
            ("version", stored.version),
            ("digest", f"sha256:{stored.digest}"),
            ("place", target.id),
        ]
    )
    typer.echo(f"\nWhat to type next:\n  adapterkit share pull {stored.name} --from {place}")


@app.command("pull")
def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="TASK@PLAN[:TAG]", help="A package; TAG is a version, an alias or a digest."
        ),
    ],
    place: Annotated[
        str | None, typer.Option("--from", metavar="PLACE", help="A folder, or hub:OWNER/NAME.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Also copy it to this new folder."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC.pem", help="Demand a signature by this key."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only look at what was pulled before.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Fetch a package, verify it, and remember which bytes its name stands for."""
    from adapterkit.sharing.cache import user_package_cache
    from adapterkit.sharing.names import Reference
    from adapterkit.sharing.places import open_place
    from adapterkit.sharing.signing import check_signature
    from adapterkit.sharing.verifying import verify_package

    reference = Reference.parse(name)
    cache = user_package_cache()
    source = None if place is None else open_place(place)
    with output.clear_stdout(json):
        if offline:
            path = cache.find(reference, None if source is None else source.id)
            check_signature(path, key)
        elif source is None:
            raise UserError(
                "It is not said where the package is.",
                where="--from",
                allowed="a folder that `adapterkit share push` wrote to, or hub:OWNER/NAME",
                hint="name the place, or say --offline for what was pulled before",
            )
        else:
            path, _ = cache.pull(reference, source, key)
        manifest = verify_package(path)
        if folder is not None:
            _copy(path, folder)
    if json:
        output.print_json({**manifest.as_dict(), "path": str(folder or path)})
        return
    print_package(manifest)
    output.print_facts([("path", str(folder or path))])
    typer.echo(f"\nWhat to type next:\n  adapterkit predict --adapter {folder or reference}")


@app.command("list")
def list_packages(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A folder, or hub:OWNER/NAME.")],
    json: options.Json = False,
) -> None:
    """List the packages of a place."""
    from dataclasses import asdict

    from adapterkit.sharing.places import open_place

    with output.clear_stdout(json):
        entries = open_place(place).entries()
    if json:
        output.print_json({"packages": [asdict(entry) for entry in entries]})
        return
    output.print_table(
        ("name", "version", "aliases", "score", "seeds", "data", "size", "plan"),
        [
            (
                entry.name,
                entry.version,
                ", ".join(entry.aliases),
                "" if entry.score is None else f"{entry.score:.4f}",
                entry.n,
                entry.data,
                output.human_bytes(entry.bytes),
                entry.plan,
            )
            for entry in entries
        ],
    )


def _fingerprint(backbone: str | None) -> str | None:
    if backbone is None:
        return None
    from adapterkit.backbones.stated import stated_backbone
    from adapterkit.backbones.stated_fingerprint import stated_fingerprint

    stated = stated_backbone(backbone)
    found = None if stated is None else stated_fingerprint(stated)
    if found is not None:
        return found
    from adapterkit.backbones.loading import load_backbone

    return load_backbone(backbone).fingerprint


def _copy(package: Path, folder: Path) -> None:
    import shutil

    from adapterkit.runs.atomic import atomic_directory

    with atomic_directory(folder) as target:
        shutil.copytree(package, target, dirs_exist_ok=True)


app.command("splice")(composing.splice)
app.command("merge")(composing.merge)
app.command("export")(peft.export)
app.command("import")(peft.import_)
