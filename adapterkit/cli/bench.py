"""``adapterkit bench``: run a suite, and print its table."""

from __future__ import annotations

from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterkit.cli import compare, options
from adapterkit.cli import output as words
from adapterkit.runs.errors import UserError, nearest

if TYPE_CHECKING:
    from adapterkit.comparing.suites.benching import Benched
    from adapterkit.comparing.suites.engine import Engine
    from adapterkit.comparing.suites.suite import Suite
    from adapterkit.comparing.tables.table import Table

_ENGINES = ("local", "ray")


def bench(
    context: typer.Context,
    suite: Annotated[
        Path, typer.Argument(metavar="SUITE.yaml", help="The suite: tasks, plans, seeds, options.")
    ],
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", metavar="N", min=1, help="Run seeds 0 to N-1, whatever the suite says."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            metavar="N",
            min=1,
            help="Runs side by side, which share out the cores; by default 1 or, with ray, one "
            "for each GPU or core of the cluster.",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="local|ray",
            help="Run on this machine, or on the Ray cluster of RAY_ADDRESS.",
        ),
    ] = "local",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="The suite's folder; by default one of its name in runs/suites.",
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the runs that failed before once more.")
    ] = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure/--no-measure", help="Time the inference of one run of each row afterwards."
        ),
    ] = True,
    json: options.Json = False,
) -> None:
    """Run every task with every plan and seed of a suite, and print the table.

    What is finished is never run again: the same command goes on where it was stopped, and runs
    what has changed since. A run that fails keeps its error and does not stop the others.
    """
    if engine not in _ENGINES:
        close = nearest(engine, _ENGINES)
        raise UserError(
            "there is no such engine",
            where="--engine",
            found=engine,
            allowed=_ENGINES,
            hint=f"did you mean {close}?" if close else None,
        )
    from adapterkit.cli.suite_progress import SuiteProgress
    from adapterkit.comparing.suites.benching import How, retry_command
    from adapterkit.comparing.suites.benching import bench as run_suite
    from adapterkit.comparing.suites.reading import read_suite

    file = read_suite(suite, seeds)
    with words.clear_stdout(json), SuiteProgress() as progress:
        how = How(
            engine=_engine(engine, jobs),
            listener=progress,
            retry_failed=retry_failed,
            measure=measure,
            command=context.obj[options.COMMAND],
        )
        benched = run_suite(file, output, how)
        tables = _tables(benched, file.suite)
    if json:
        words.print_json(_as_dict(benched, tables))
    else:
        if tables:
            compare.print_tables(tables)
        typer.echo(f"\n{benched.path}")
    if benched.failed:
        command = retry_command(file.path, benched.path)
        words.warn(f"{len(benched.failed)} runs failed; to try them again: {command}")
        raise typer.Exit(1)


def _engine(name: str, jobs: int | None) -> Engine:
    if name == "ray":
        from adapterkit.comparing.suites.ray_engine import RayEngine

        return RayEngine(jobs)
    from adapterkit.comparing.suites.local_engine import LocalEngine

    return LocalEngine(jobs or 1)


def _tables(benched: Benched, suite: Suite) -> list[Table]:
    from adapterkit.comparing.records.reading import read_runs
    from adapterkit.comparing.tables.building import build_tables

    records, left_out = read_runs([benched.path])
    if not records:
        return []
    # Rows of several backbones are what such a suite is for.
    allow = ("backbone",) if len(suite.backbones) > 1 else ()
    return build_tables(records, left_out, allow=allow, notes=benched.notes)


def _as_dict(benched: Benched, tables: list[Table]) -> dict[str, Any]:
    from adapterkit.comparing.tables.formats.json import render

    return {
        "path": benched.path,
        "cells": [
            {
                "run": outcome.folder.run.path,
                "status": outcome.status,
                "task": outcome.cell.task,
                "plan": outcome.cell.plan,
                "seed": outcome.cell.request.seed,
                "error": outcome.error,
            }
            for outcome in benched.outcomes
        ],
        "search": benched.search,
        "notes": benched.notes,
        "tables": loads(render(tables))["tables"],
    }
