"""``adapterkit ablate``: which recursion steps of a run matter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterkit.cli import options, output
from adapterkit.cli.measures import warn_of_sample

if TYPE_CHECKING:
    from adapterkit.comparing.ablating.ablation import Ablation, Swap


def ablate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    swap: Annotated[
        Path | None,
        typer.Option(
            "--swap",
            metavar="RUN2",
            help="Mix with this run: the steps below k of RUN, the others of RUN2, for every k.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", metavar="dev|test", help="Which split to score.")
    ] = "dev",
    data: options.Data = "auto",
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Where table and charts go; by default RUN itself."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Score a run without what learned at each step: which steps matter.

    Without its adapter a step is the pretrained one again. Writes ablation.json and charts (SVG).
    """
    from adapterkit.cli.progress import ProgressBars
    from adapterkit.runs.manifest import load

    # A run that is not there is told before the libraries, which take seconds, are loaded.
    for path in (run, *([swap] if swap else [])):
        load(path)
    from adapterkit.comparing.ablating.ablate import ablate as find

    with output.clear_stdout(json), ProgressBars() as progress:
        found = find(run, swap, data, split, progress)
    files = _write(found, folder or run)
    if json:
        output.print_json({**found.as_dict(), "files": [str(path) for path in files]})
    else:
        _print(found, files)
    if found.data["source"] == "sample":
        warn_of_sample(found.task)


def _write(found: Ablation, folder: Path) -> list[Path]:
    from adapterkit.comparing.ablating.ablation import ABLATION_FILE, save_ablation
    from adapterkit.comparing.ablating.drawing import (
        steps_chart,
        steps_heading,
        swap_chart,
        swap_heading,
    )
    from adapterkit.comparing.charts.svg import as_file
    from adapterkit.runs.atomic import write_text

    charts = {"ablation.svg": as_file(steps_chart(found), steps_heading(found))}
    if found.swap is not None:
        drawn = swap_chart(found, found.swap)
        charts["ablation-swap.svg"] = as_file(drawn, swap_heading(found))
    save_ablation(found, folder / ABLATION_FILE)
    for name, drawn in charts.items():
        write_text(folder / name, drawn)
    return [folder / name for name in (ABLATION_FILE, *charts)]


def _print(found: Ablation, files: list[Path]) -> None:
    same = "the data of the run" if found.data["same_as_run"] else "not the data of the run"
    output.print_facts(
        [
            ("task", found.task),
            ("split", f"{found.split}, {found.data['examples']:,} examples"),
            ("data", f"{found.data['source']}: {found.data['location']} ({same})"),
            ("plan", found.run.plan),
            ("score", f"{found.whole.score:.4f} {found.metric}, with all steps"),
            *[("note", note) for note in found.notes],
        ]
    )
    typer.echo()
    output.print_table(
        ("step", "mechanism", "ablated", "score", "difference"),
        [
            (
                each.step,
                each.mechanism,
                each.removed,
                f"{each.result.score:.4f}" if each.result else "",
                f"{each.result.score - found.whole.score:+.4f}" if each.result else "",
            )
            for each in found.steps
        ],
    )
    if found.swap is not None:
        _print_swap(found, found.swap)
    typer.echo()
    output.print_facts([("written", str(path)) for path in files])


def _print_swap(found: Ablation, swap: Swap) -> None:
    total = len(found.steps)
    typer.echo(f"\nBelow step k this run, from k on {swap.other.path} ({swap.other.plan}):\n")
    output.print_table(
        ("k", "steps of this run", "steps of the other", "score"),
        [
            (k, _steps(range(k)), _steps(range(k, total)), f"{result.score:.4f}")
            for k, result in enumerate(swap.results)
        ],
    )


def _steps(steps: range) -> str:
    if not steps:
        return "none"
    return str(steps[0]) if len(steps) == 1 else f"{steps[0]}-{steps[-1]}"
