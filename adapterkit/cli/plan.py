"""``adapterkit plan``: what a plan would train, step by step, before any training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from adapterkit.cli import options, output
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.plans.ledger import Ledger
    from adapterkit.plans.show import PlanRow
    from adapterkit.plans.step_plan import StepPlan

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
        _chosen_plan(text, mode, steps, plan, stated_steps(backbone))
        config = load_task(task) if task is not None else None
        # Mistakes in the arguments are told before the libraries, which take seconds, are loaded.
        from adapterkit.backbones.loading import load_backbone
        from adapterkit.plans.show import show_plan
        from adapterkit.tuning.heads import add_head

        loaded = load_backbone(backbone)
        model = loaded.model
        chosen = _chosen_plan(text, mode, steps, plan, loaded.steps)
        if config is not None:
            add_head(model, config, "task", seed=0)
        rows, counted = show_plan(model, chosen)
        resolved = chosen.for_steps(loaded.steps)
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
        _chosen_plan(text, mode, steps, plan, stated_steps(backbone))
        from adapterkit.backbones.loading import load_backbone
        from adapterkit.plans.apply import check_plan

        loaded = load_backbone(backbone)
        chosen = _chosen_plan(text, mode, steps, plan, loaded.steps)
        check_plan(loaded.model, chosen)
    choices = [str(choice) for choice in chosen.resolve(loaded.steps)]
    if json:
        output.print_json({"plan": str(chosen), "steps": choices})
        return
    typer.echo(f"{chosen.for_steps(loaded.steps)}")
    typer.echo(f"The plan fits {loaded.id}: {loaded.steps} steps, 0 to {loaded.steps - 1}.")


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
