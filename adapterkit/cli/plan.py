"""``adapterkit plan``: what a plan would train, step by step, before any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from adapterkit.cli import options, output
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.backbones.loading import Backbone
    from adapterkit.plans.show import PlanRow
    from adapterkit.plans.step_plan import StepPlan
    from adapterkit.plans.tally import Ledger
    from adapterkit.tasks.config import TaskConfig

app = typer.Typer(help="Show and check step plans.", no_args_is_help=True)

_ROWS = ("steps", "shared")

PlanArgument = Annotated[
    str | None,
    typer.Argument(metavar="PLAN", help="A plan, e.g. '0-2:frozen 3-5:adapter', or a YAML file."),
]


@app.command("show")
def show(
    text: PlanArgument = None,
    mode: options.Mode = None,
    steps: options.Steps = None,
    plan: options.Plan = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="NAME|FILE.yaml", help="Count this task's head too; it always learns."
        ),
    ] = None,
    backbone: options.Backbone = "bundled",
    json: options.Json = False,
) -> None:
    """Show, step by step, what would learn, how many parameters, how many bytes are shipped."""
    from adapterkit.backbones.stated import stated_steps
    from adapterkit.tasks.registry import load_task

    with output.clear_stdout(json):
        choose = partial(_chosen_plan, text, mode, steps, plan)
        choose(stated_steps(backbone))
        config = load_task(task) if task is not None else None
        resolved, rows, counted = _counted(choose, backbone, config)
    if json:
        ledger = {name: n for name, n in counted.as_dict().items() if name not in _ROWS}
        output.print_json(
            {"plan": str(resolved), "ledger": ledger, "rows": [asdict(row) for row in rows]}
        )
        return
    typer.echo(f"{resolved}\n")
    _print_ledger(rows, counted)
    if config is None:
        typer.echo("The task head comes on top; --task NAME counts it too.")


@app.command("check")
def check(
    text: PlanArgument = None,
    mode: options.Mode = None,
    steps: options.Steps = None,
    plan: options.Plan = None,
    backbone: options.Backbone = "bundled",
    json: options.Json = False,
) -> None:
    """Check a plan against a backbone, and print it as adapterkit understood it."""
    from adapterkit.backbones.stated import stated_steps

    with output.clear_stdout(json):
        choose = partial(_chosen_plan, text, mode, steps, plan)
        choose(stated_steps(backbone))
        name, total = _checked(choose, backbone)
    chosen = choose(total)
    choices = [str(choice) for choice in chosen.resolve(total)]
    if json:
        output.print_json({"plan": str(chosen), "steps": choices})
        return
    typer.echo(f"{chosen.for_steps(total)}")
    typer.echo(f"The plan fits {name}: {total} steps, 0 to {total - 1}.")


def _counted(
    choose: Callable[[int | None], StepPlan], backbone: str, task: TaskConfig | None
) -> tuple[StepPlan, tuple[PlanRow, ...], Ledger]:
    """The plan with every step named, its rows and its ledger."""
    from adapterkit.backbones.stated import stated_backbone
    from adapterkit.plans.show import PREVIEW_NAME, preview_plan, show_plan
    from adapterkit.tuning.heads import add_head, head_parameters

    stated = stated_backbone(backbone)
    if stated is not None:
        plan = choose(stated.shape.num_hidden_layers)
        head = head_parameters(task, stated.shape.hidden_size) if task is not None else 0
        return plan, *preview_plan(stated.shape, plan, head)
    loaded = _loaded(backbone)
    plan = choose(loaded.steps)
    if task is not None:
        add_head(loaded.model, task, PREVIEW_NAME, seed=0)
    return plan, *show_plan(loaded.model, plan)


def _checked(choose: Callable[[int | None], StepPlan], backbone: str) -> tuple[str, int]:
    """The name and the number of steps of the backbone that the plan fits."""
    from adapterkit.backbones.stated import stated_backbone
    from adapterkit.plans.fitting import check_fit

    stated = stated_backbone(backbone)
    if stated is not None:
        shape = stated.shape
        check_fit(choose(shape.num_hidden_layers), shape, shape.has_layerwise)
        return stated.id, shape.num_hidden_layers
    loaded = _loaded(backbone)
    check_fit(choose(loaded.steps), loaded.model.config, loaded.has_layerwise)
    return loaded.id, loaded.steps


def _loaded(backbone: str) -> Backbone:
    """The backbone, where only a loaded model tells what its files hold, or what is wrong."""
    from adapterkit.backbones.sources import check_source

    check_source(backbone)
    from adapterkit.backbones.loading import load_backbone

    return load_backbone(backbone)


def _chosen_plan(
    text: str | None,
    mode: str | None,
    steps: str | None,
    plan: str | None,
    total: int | None = None,
) -> StepPlan:
    from adapterkit.plans.step_plan import StepPlan

    if text is not None and plan is not None:
        raise UserError("The plan is given twice.", where="PLAN and --plan", hint="give one")
    if text is not None:
        return StepPlan.from_options(mode, steps, text, total, source="PLAN")
    return StepPlan.from_options(mode, steps, plan, total)


def _print_ledger(rows: Sequence[PlanRow], counted: Ledger) -> None:
    from adapterkit.plans.mistakes import say_steps

    lines: list[tuple[object, ...]] = [
        (say_steps(row.steps), row.mechanism, row.learns, row.trainable, row.shipped_bytes)
        for row in rows
    ]
    lines.append(("sum", "", "", counted.trainable, counted.shipped_bytes))
    output.print_table(("step", "mechanism", "what learns", "trainable", "bytes shipped"), lines)
    total = counted.backbone + counted.layerwise + counted.task + counted.head
    typer.echo()
    output.print_facts(
        [
            ("backbone", counted.backbone),
            ("layer-wise adapters", counted.layerwise),
            ("task adapters", counted.task),
            ("head", counted.head),
            ("trainable", f"{counted.trainable:,} of {total:,} ({counted.trainable / total:.2%})"),
            ("shipped", output.human_bytes(counted.shipped_bytes)),
        ]
    )
