"""``adapterkit tune``: train what a plan chooses, score it, leave a run directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterkit.cli import options
from adapterkit.cli import output as words
from adapterkit.cli.learned import fused_of, stacked_of, start_of, teacher_of
from adapterkit.cli.measures import warn_of_sample
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.tuning.run import Run

# Parameters that say how to run, not what; a resumed run may change them.
_OUTSIDE_THE_REQUEST = {"output", "resume", "json", "profile", "threads"}
# Options that name adapters to freeze, and what works out their folders and the plan.
_FROZEN: dict[str, Callable[[Any], tuple[Any, str]]] = {"fuse": fused_of, "stack": stacked_of}


def tune(
    context: typer.Context,
    task: options.Task = None,
    mode: options.Mode = None,
    steps: options.Steps = None,
    plan: options.Plan = None,
    backbone: options.Backbone = "bundled",
    data: options.Data = "auto",
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Seed of everything random.")
    ] = 0,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            metavar="N",
            min=1,
            help="Passes over the training split; by default by its size and what learns.",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option("--lr", metavar="X", help="Peak learning rate; by default the mechanism's."),
    ] = None,
    head_learning_rate: Annotated[
        float | None,
        typer.Option(
            "--head-lr",
            metavar="X",
            help="Peak learning rate of the head; by default --lr, else 0.002, or 0.01 where texts "
            "are classified and the block is frozen.",
        ),
    ] = None,
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            "--batch-tokens", metavar="N", min=8, help="Word pieces a batch, padding included."
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            "--patience", metavar="N", min=1, help="Stop after N epochs without a better dev score."
        ),
    ] = None,
    limit_train: Annotated[
        int | None,
        typer.Option(
            "--limit-train", metavar="N", min=1, help="Train on the first N examples only."
        ),
    ] = None,
    limit_dev: Annotated[
        int | None,
        typer.Option(
            "--limit-dev",
            metavar="N",
            min=1,
            help="Choose the best epoch by the first N dev examples only; test is scored whole.",
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="float32|bf16",
            help="Train in bfloat16, where the processor or GPU has it in hardware; weights and "
            "scores stay float32.",
        ),
    ] = "float32",
    protocol: options.Protocol = "word",
    prefix_cache: Annotated[
        str,
        typer.Option(
            "--prefix-cache",
            metavar="auto|off",
            help="Run the frozen steps below the lowest that learns once a text, and keep what "
            "they make of it; or run them with every batch.",
        ),
    ] = "auto",
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN|PACKAGE",
            help="Start from what this one learned, with its plan, instead of from new weights.",
        ),
    ] = None,
    fuse: Annotated[
        list[str] | None,
        typer.Option(
            "--fuse",
            metavar="RUN|PACKAGE",
            help="Freeze the adapters of this one and learn to fuse them (AdapterFusion); give it "
            "once for each of two or more that have one plan.",
        ),
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option(
            "--stack",
            metavar="RUN|PACKAGE",
            help="Freeze the adapter of this one and learn another on top of it, of the same "
            "configuration, with a new head.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="RUN|PACKAGE",
            help="Learn beside the labels what this one, of the same task and tokenizer, says.",
        ),
    ] = None,
    teacher_backbone: Annotated[
        str | None,
        typer.Option(
            "--teacher-backbone",
            metavar="B",
            help="The teacher's backbone, if it is not where the teacher says.",
        ),
    ] = None,
    teacher_weight: Annotated[
        float,
        typer.Option(
            "--teacher-weight", metavar="X", help="How much the teacher counts beside the labels."
        ),
    ] = 1.0,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature", metavar="T", help="Divide the teacher's logits and the run's by T."
        ),
    ] = 1.0,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, help="Processor threads to use.")
    ] = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Record where the time of some updates goes, into the run directory."
        ),
    ] = False,
    output: options.Output = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the stopped run in --output.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Train what a plan chooses at each recursion step, and score it.

    Without --mode and --plan, every step gets an adapter. The run directory that it leaves holds
    the adapter, the scores and the predictions.
    """
    from adapterkit.cli.progress import ProgressBars
    from adapterkit.cli.summary import print_summary

    asked = _asked(context)
    with words.clear_stdout(json), ProgressBars() as progress:
        if threads is not None:
            _use_threads(threads)
        how = {"profile": profile, "progress": progress, "command": context.obj[options.COMMAND]}
        run = _resume(output, asked, how) if resume else _start(output, asked, how)
    if json:
        words.print_json({**run.manifest.as_dict(), "path": run.path})
    else:
        print_summary(run.path, run.manifest)
    if run.manifest.sample:
        warn_of_sample(run.manifest.task)


def _asked(context: typer.Context) -> dict[str, Any]:
    """What the command line says of the run itself, in the terms of `tuning.tune`."""
    given: dict[str, Any] = {}
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            given[name] = value
    asked = {name: value for name, value in given.items() if name not in _OUTSIDE_THE_REQUEST}
    ways = {name: asked.pop(name, None) for name in ("mode", "steps", "plan")}
    if "start_from" in asked:
        asked["start_from"], plan = start_of(asked["start_from"])
        if not any(ways.values()):
            ways["plan"] = plan
    for name, folder_and_plan in _FROZEN.items():
        if name in asked:
            if any(ways.values()):
                raise UserError(
                    "The adapters that stay frozen decide the plan.",
                    where=f"--{name}",
                    hint="leave --mode, --steps, --plan, --from and any other such option out",
                )
            asked[name], ways["plan"] = folder_and_plan(asked[name])
    if "teacher" in asked:
        asked["teacher"] = teacher_of(asked["teacher"])
    if any(ways.values()):
        # A stopped run may have another backbone than the one typed now, or not typed; and whether
        # frozen adapters are of this one is told by more than steps.
        untold = context.params["resume"] or any(name in asked for name in _FROZEN)
        backbone = None if untold else context.params["backbone"]
        asked["plan"] = _plan(backbone, **ways)
    return asked


def _plan(backbone: str | None, mode: str | None, steps: str | None, plan: str | None) -> str:
    from adapterkit.backbones.stated import stated_steps
    from adapterkit.plans.step_plan import StepPlan

    if mode is None and plan is None:
        mode = "adapter"
    if backbone is not None:
        StepPlan.from_options(mode, steps, plan, stated_steps(backbone))
    # As short as it was typed: it names the run's folder.
    return str(StepPlan.from_options(mode, steps, plan))


def _start(output: Path | None, asked: dict[str, Any], how: dict[str, Any]) -> Run:
    from adapterkit.backbones.sources import check_source
    from adapterkit.tasks.registry import load_task, task_names

    if "task" not in asked:
        raise UserError(
            "It is not said which task to tune for.",
            where="--task",
            allowed=[*task_names(), "or a task file of your own (YAML)"],
            hint="for example: adapterkit tune --task bc5cdr --mode adapter",
        )
    # Mistakes in these are told before the libraries, which take seconds, are loaded.
    load_task(asked["task"])
    check_source(asked.get("backbone", "bundled"))
    from adapterkit.tuning.tune import tune as run_tune

    return run_tune(**asked, output=output, **how)


def _resume(output: Path | None, asked: dict[str, Any], how: dict[str, Any]) -> Run:
    """Go on with a run; only what the user typed is compared with how it was started."""
    from adapterkit.runs.directory import RunDirectory
    from adapterkit.tuning.request import Request
    from adapterkit.tuning.tune import resume_run

    if output is None:
        raise UserError(
            "It is not said which run to resume.",
            where="--resume",
            hint="give its directory with --output",
        )
    directory = RunDirectory(output)
    request = None
    if asked and not directory.is_finished:
        started = Request.from_dict(directory.load_state().get("request", {}))
        request = replace(started, **asked)
    return resume_run(output, request, **how)


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
