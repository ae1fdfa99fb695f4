"""Which steps learn in each row, and what is lost without each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from adapterkit.comparing.ablating.ablation import ABLATION_FILE, Ablation, read_ablation
from adapterkit.comparing.ablating.drawing import swap_chart
from adapterkit.comparing.records.record import RunRecord
from adapterkit.comparing.report.series import Series
from adapterkit.plans.choice import Choice
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file


@dataclass(frozen=True)
class StepCell:
    """A step of a plan.

    Attributes:
        mechanism: What adapts it.
        short: The same in a few letters.
        kind: Name of the mechanism.
        lost: What the score loses without it; None where that was not measured.
    """

    mechanism: str
    short: str
    kind: str
    lost: float | None


@dataclass(frozen=True)
class StepRow:
    """The steps of a row of the table.

    Attributes:
        series: The row.
        cells: Its steps.
        ablated: Seeds that were ablated.
        split: The split that they were ablated on; empty where there are none.
    """

    series: Series
    cells: tuple[StepCell, ...]
    ablated: int
    split: str


@dataclass(frozen=True)
class StepMap:
    """The steps of all rows.

    Attributes:
        steps: How many steps there are at most.
        rows: The rows.
        swaps: Charts of runs that were mixed with others, each with what it is of.
        notes: Which ablations are left out, and why.
        deepest: The largest loss.
    """

    steps: int
    rows: tuple[StepRow, ...]
    swaps: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    deepest: float


def step_map(series: Sequence[Series]) -> StepMap:
    """Read what `adapterkit ablate` left beside the runs of each row."""
    rows, swaps, notes = [], [], []
    for each in series:
        found = []
        for run in each.row.runs:
            try:
                ablation = _ablation(run)
            except UserError as error:
                notes.append(f"{run.path}: {error.problem} {error.found or ''}".strip())
                continue
            if ablation is None:
                continue
            found.append(ablation)
            if ablation.swap is not None:
                words = (
                    f"{each.name}, seed {ablation.run.seed}, below k; {ablation.swap.other.plan}"
                )
                words += f", seed {ablation.swap.other.seed}, from k on ({ablation.split})"
                swaps.append((words, swap_chart(ablation, ablation.swap)))
        rows.append(_row(each, found))
    lost = [abs(cell.lost) for row in rows for cell in row.cells if cell.lost is not None]
    return StepMap(
        max((len(row.cells) for row in rows), default=0),
        tuple(rows),
        tuple(swaps),
        tuple(notes),
        max(lost, default=0.0),
    )


def _ablation(run: RunRecord) -> Ablation | None:
    path = run.path / ABLATION_FILE
    if not path.exists():
        return None
    found = read_ablation(path)
    if found.run.sha256 != sha256_file(RunDirectory(run.path).manifest_path):
        raise UserError("The ablation is one of another run.", found=found.run.path)
    if not found.data.get("same_as_run"):
        raise UserError("The ablation is on other data than the run's.")
    return found


def _row(series: Series, ablations: Sequence[Ablation]) -> StepRow:
    choices = _choices(series.row.runs[0])
    # Losses on different splits are not averaged.
    split = ablations[0].split if ablations else ""
    used = [each for each in ablations if each.split == split]
    cells = tuple(
        StepCell(str(choice), _short(choice), choice.mechanism, _lost(used, step))
        for step, choice in enumerate(choices)
    )
    return StepRow(series, cells, len(used), split)


def _choices(run: RunRecord) -> tuple[Choice, ...]:
    stated = run.manifest.backbone.model_extra or {}
    total = stated.get("steps")
    plan = StepPlan.parse(run.manifest.plan, total if isinstance(total, int) else None)
    if not isinstance(total, int):
        named = [step for each in plan.assignments for step in each.steps or ()]
        total = max(named, default=0) + 1
    return plan.resolve(total)


def _short(choice: Choice) -> str:
    return choice.config or choice.mechanism


def _lost(ablations: Sequence[Ablation], step: int) -> float | None:
    lost = [
        each.whole.score - result.score
        for each in ablations
        if step < len(each.steps) and (result := each.steps[step].result) is not None
    ]
    return fmean(lost) if lost else None
