"""``adapterkit share splice`` and ``merge``: packages made of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapterkit.cli import options, output
from adapterkit.cli.packages import BackboneOption, Target, print_package
from adapterkit.runs.errors import UserError

Name = Annotated[
    str | None,
    typer.Option("--name", metavar="TASK@PLAN", help="By default made from the packages' names."),
]


def splice(
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="PACKAGE:STEPS...",
            help="Packages of one backbone, each with its steps: A:0-2 B:3-5.",
        ),
    ],
    folder: Target,
    name: Name = None,
    head: Annotated[
        int | None,
        typer.Option(
            "--head",
            metavar="N",
            help="Whose task and head it has, counted from 0; by default the last step's.",
        ),
    ] = None,
    backbone: BackboneOption = None,
    json: options.Json = False,
) -> None:
    """Make a package whose recursion steps come from several others."""
    named = [_part(part) for part in parts]
    from adapterkit.sharing.composing import splice as make

    with output.clear_stdout(json):
        manifest = make(named, folder, name=name, head=head, backbone=backbone)
    if json:
        output.print_json({**manifest.as_dict(), "written": [str(folder)]})
        return
    print_package(manifest)
    _say_next(folder)


def merge(
    packages: Annotated[
        list[str],
        typer.Argument(metavar="PACKAGE...", help="Packages of one backbone and plan."),
    ],
    folder: Target,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="W,W,...",
            help="One for each, such as 1,-0.5; by default their mean.",
        ),
    ] = None,
    name: Name = None,
    backbone: BackboneOption = None,
    json: options.Json = False,
) -> None:
    """Make a package whose weights are a mean, or another weighted sum, of several others."""
    numbers = None if weights is None else _numbers(weights)
    from adapterkit.sharing.composing import combine

    with output.clear_stdout(json):
        manifest = combine(packages, folder, weights=numbers, name=name, backbone=backbone)
    if json:
        output.print_json({**manifest.as_dict(), "written": [str(folder)]})
        return
    print_package(manifest)
    _say_next(folder)


def _part(text: str) -> tuple[str, list[int]]:
    from adapterkit.plans.mistakes import Spot
    from adapterkit.plans.syntax import parse_steps

    package, colon, steps = text.rpartition(":")
    if not colon or not package:
        raise UserError(
            "It is not said which steps come from the package.",
            where="PACKAGE:STEPS",
            found=text,
            allowed="a package, a colon, and steps such as 0-2 or 1,3",
        )
    return package, list(parse_steps(Spot("PACKAGE:STEPS", steps)))


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise UserError(
            "The weights are no numbers.",
            where="--weights",
            found=text,
            allowed="numbers with commas between them, such as 0.5,0.5",
        ) from error


def _say_next(folder: Path) -> None:
    typer.echo(f"\nWhat to type next:\n  adapterkit evaluate {folder}")
