"""``adapterkit evaluate``: score what a run learned, from its directory alone."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from adapterkit.cli import options, output
from adapterkit.cli.measures import print_per_type, say_measures, warn_of_sample


def evaluate(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|PACKAGE", help="A run directory, a package, or the name of one."
        ),
    ],
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
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="B", help="A package's backbone, if it was moved."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Score a run or package on a split of its task, again or on other data.

    Where --data is not given, the data are looked for where the run found its own.
    """
    from adapterkit.cli.learned import check_there
    from adapterkit.cli.progress import ProgressBars

    check_there(run)
    from adapterkit.sharing.loading import load_learned
    from adapterkit.tuning.rescoring import check_split, evaluate_adapter

    check_split(split)
    with output.clear_stdout(json), ProgressBars() as progress:
        progress.begin("loading the adapter")
        loaded = load_learned(run, backbone=backbone)
        result = evaluate_adapter(loaded, run, task, split, data, progress)
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
