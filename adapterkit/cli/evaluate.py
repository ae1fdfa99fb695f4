"""``adapterkit evaluate``: score what a run learned, from its directory alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from adapterkit.cli import options, output
from adapterkit.cli.measures import print_per_type, say_measures, warn_of_sample


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="NAME|FILE.yaml",
            help="The task; by default the run's. Another one must have the same labels.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", metavar="train|dev|test", help="Which split to score.")
    ] = "test",
    data: options.Data = "auto",
    json: options.Json = False,
) -> None:
    """Score a run on a split of its task, again or on other data.

    Where --data is not given, the data are looked for where the run found its own.
    """
    from adapterkit.cli.progress import ProgressBars
    from adapterkit.runs.manifest import load

    # A run that is not there is told before the libraries, which take seconds, are loaded.
    load(run)
    from adapterkit.tuning.rescoring import evaluate_run

    with output.clear_stdout(json), ProgressBars() as progress:
        result = evaluate_run(run, task, split, data, progress)
    if json:
        output.print_json(result)
    else:
        _print_result(result)
    if result["data"]["source"] == "sample":
        warn_of_sample(result["task"])


def _print_result(result: dict[str, Any]) -> None:
    data, metrics = result["data"], result["metrics"]
    same = "the data of the run" if data["same_as_run"] else "not the data of the run"
    output.print_facts(
        [
            ("task", result["task"]),
            ("split", f"{result['split']}, {data['examples']:,} examples"),
            ("data", f"{data['source']}: {data['location']} ({same})"),
            ("protocol", result["protocol"]),
            ("score", say_measures(metrics)),
            *[("note", note) for note in result["notes"]],
        ]
    )
    print_per_type(metrics)
