"""``adapterkit tasks``: which tasks there are, and whether their data are in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adapterkit.cli import options, output

if TYPE_CHECKING:
    from adapterkit.tasks.check import CheckReport

app = typer.Typer(help="List, show and check tasks.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="TASK", help="A task's name, or a task file of your own (YAML).")
]


@app.command("list")
def list_tasks(json: options.Json = False) -> None:
    """List the tasks that come with adapterkit."""
    from adapterkit.tasks.registry import load_task, task_names

    tasks = [load_task(name) for name in task_names()]
    if json:
        fields = ("name", "title", "kind", "labels", "metric")
        output.print_json({"tasks": [{key: getattr(t, key) for key in fields} for t in tasks]})
        return
    output.print_table(
        ("task", "kind", "labels", "score", "title"),
        [(task.name, task.kind, len(task.labels), task.metric, task.title) for task in tasks],
    )


@app.command("show")
def show_task(task: Name, json: options.Json = False) -> None:
    """Show what a task's configuration says."""
    from adapterkit.tasks.registry import load_task

    found = load_task(task)
    content = found.model_dump(mode="json")
    if json:
        output.print_json(content)
        return
    import yaml

    filled = {key: value for key, value in content.items() if value not in (None, "", [], {})}
    typer.echo(yaml.safe_dump(filled, sort_keys=False, allow_unicode=True, width=100), nl=False)


@app.command("check")
def check(task: Name, data: options.Data = "auto", json: options.Json = False) -> None:
    """Read a task's data, count what is there and report what is wrong with it.

    The exit status is 2 if anything is wrong.
    """
    from adapterkit.tasks.check import check_task
    from adapterkit.tasks.registry import load_task
    from adapterkit.tasks.sources import load_data

    with output.clear_stdout(json):
        config = load_task(task)
        report = check_task(config, load_data(config, data, tuple(config.files)))
    if json:
        output.print_json(report.as_dict())
    else:
        _print_report(report)
    if not report.is_ok:
        raise typer.Exit(2)


def _print_report(report: CheckReport) -> None:
    typer.echo(f"{report.task}, {report.source}\n")
    columns = ("split", "examples", "documents", "words", "longest", "unlabelled", "repeated")
    output.print_table(
        columns,
        [
            (
                split,
                found.examples,
                found.documents,
                found.words,
                found.longest,
                found.without_label,
                found.repeated,
            )
            for split, found in report.splits.items()
        ],
    )
    typer.echo()
    labels = {label: None for found in report.splits.values() for label in found.labels}
    output.print_table(
        ("label", *report.splits),
        [
            (label, *(found.labels.get(label, 0) for found in report.splits.values()))
            for label in labels
        ],
    )
    typer.echo()
    for problem in report.problems:
        typer.echo(f"{problem.severity}: {problem.message}")
    typer.echo("The data are in order." if report.is_ok else "The data are not in order.")
