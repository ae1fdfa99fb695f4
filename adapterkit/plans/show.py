"""What a plan would do, step by step, without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterkit.backbones.shape import BackboneShape
from adapterkit.plans.counting import count_plan
from adapterkit.plans.step_plan import StepPlan
from adapterkit.plans.tally import Ledger, SharedRow

if TYPE_CHECKING:
    from adapterkit.backbones.adapter_model import RecursiveAdapterModel

PREVIEW_NAME = "task"
"""Name of the adapter and head of a plan that is only shown."""


@dataclass(frozen=True)
class PlanRow:
    """One line of a plan's table.

    Args:
        steps: The step, the steps that share what the line counts, or empty.
        mechanism: What adapts the step, or what is shared.
        learns: What learns, in words.
        trainable: Parameters that learn.
        shipped_bytes: Bytes of a saved result.
    """

    steps: tuple[int, ...]
    mechanism: str
    learns: str
    trainable: int
    shipped_bytes: int


def preview_plan(
    backbone: BackboneShape, plan: StepPlan, head: int = 0
) -> tuple[tuple[PlanRow, ...], Ledger]:
    """List what each step would learn, from a backbone's sizes alone.

    Args:
        backbone: The sizes.
        plan: The plan.
        head: Parameters of the task head, where it is to be counted.

    Returns:
        As `show_plan`.

    Raises:
        UserError: The plan does not fit the backbone.
    """
    counts = count_plan(backbone, plan, name=PREVIEW_NAME, head=head)
    return _rows(counts), counts


def show_plan(model: RecursiveAdapterModel, plan: StepPlan) -> tuple[tuple[PlanRow, ...], Ledger]:
    """Apply a plan and list what each step learns.

    The task head is counted if the model has one that is called `PREVIEW_NAME` or is active.

    Args:
        model: A backbone that is not needed afterwards: the plan is applied to it.
        plan: The plan.

    Returns:
        One row for each step, then one for what several steps share or no step owns, and the
        ledger. The rows add up to the ledger's totals.

    Raises:
        UserError: The plan does not fit the backbone.
    """
    from adapterkit.plans.apply import apply_plan
    from adapterkit.plans.ledger import ledger

    counts = ledger(apply_plan(model, plan, name=PREVIEW_NAME))
    return _rows(counts), counts


def _rows(counts: Ledger) -> tuple[PlanRow, ...]:
    steps = [
        PlanRow((row.step,), row.mechanism, row.learns, row.trainable, row.shipped_bytes)
        for row in counts.steps
    ]
    shared = [
        PlanRow(row.steps, row.part, _words(row), row.trainable, row.shipped_bytes)
        for row in counts.shared
    ]
    return (*steps, *shared)


def _words(row: SharedRow) -> str:
    return "shared by these steps" if row.steps else "outside the recursion"
