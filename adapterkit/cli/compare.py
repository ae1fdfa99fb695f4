"""``adapterkit compare``: what each trainable parameter bought, in one table a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from adapterkit.cli import output as printing
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.comparing.records.left_out import LeftOut
    from adapterkit.comparing.records.record import ScoredSplit
    from adapterkit.comparing.tables.table import Table

_SPLITS = ("test", "dev")


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Run directories, or folders that hold some, as a suite's does."
        ),
    ],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="table|markdown|csv|latex|json|html",
            help="How to write it; html is a report with charts and an error analysis.",
        ),
    ] = "table",
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where to, instead of standard output."),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", metavar="test|dev", help="Which split's scores to compare.")
    ] = "test",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="data|protocol|split|backbone",
            help="What rows of a table may differ in; can be given several times.",
        ),
    ] = None,
    draws: Annotated[
        int,
        typer.Option(
            "--draws", metavar="N", min=100, help="Draws of documents for each difference."
        ),
    ] = 10_000,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", metavar="PLAN", help="The plan differences are to; by default full."
        ),
    ] = None,
) -> None:
    """Compare runs: parameters, bytes, scores over seeds, significance, time, memory, latency.

    Runs that cannot be relied on are named and left out, and runs on different data, under
    different protocols or from different backbones are not mixed unless they may be.
    """
    if split not in _SPLITS:
        raise UserError("there is no such split", where="--split", found=split, allowed=_SPLITS)
    from adapterkit.cli.progress import ProgressBars
    from adapterkit.comparing.records.folders import suite_notes
    from adapterkit.comparing.records.reading import read_runs
    from adapterkit.comparing.tables.building import build_tables
    from adapterkit.comparing.tables.formats import registry

    write = None if format_ == registry.TERMINAL else registry.text_renderer(format_)
    with ProgressBars(passing=True) as progress:
        records, left_out = read_runs(runs, progress)
        if not records:
            raise _nothing(left_out)
        tables = build_tables(
            records,
            left_out,
            split=cast("ScoredSplit", split),
            draws=draws,
            reference=reference,
            allow=allow or (),
            notes=suite_notes(runs),
            progress=progress,
        )
        text = None if write is None else write(tables)
    if text is None and output is None:
        print_tables(tables)
    else:
        _write(_as_text(tables) if text is None else text, output)
    if format_ == "csv":
        for item in left_out:
            printing.warn(f"left out: {item.path}: {item.reason}")


def print_tables(tables: Sequence[Table]) -> None:
    """Print tables on standard output as the terminal shows them."""
    from adapterkit.comparing.tables.formats.terminal import render

    printing.print_parts(render(tables))


def _as_text(tables: Sequence[Table]) -> str:
    """What `print_tables` prints, for a file."""
    from adapterkit.comparing.tables.formats.terminal import render

    return printing.text_of(render(tables))


def _write(text: str, path: Path | None) -> None:
    if path is None:
        typer.echo(text, nl=False)
        return
    from adapterkit.runs.atomic import write_text

    write_text(path, text)
    typer.echo(f"written: {path}", err=True)


def _nothing(left_out: Sequence[LeftOut]) -> UserError:
    return UserError(
        "There is no run to compare.",
        found="; ".join(f"{item.path}: {item.reason}" for item in left_out) or "no run directory",
        allowed="finished run directories, or folders that hold some",
        hint="finish the runs with `adapterkit tune --resume`, or name others",
    )
