"""The row that differences are to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from adapterkit.comparing.records.record import RunRecord
from adapterkit.comparing.records.settings import teacher_of
from adapterkit.comparing.tables.grouping import Group
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError


def find_reference(groups: Sequence[Group], plan: str) -> Group | None:
    """Return the row with a plan; None where there is none.

    Where several rows have it, with other hyper-parameters, it is the one that is best on dev: of
    those that no teacher taught, if there are any.

    Args:
        groups: Rows of one task and backbone.
        plan: The plan, in any of its spellings.

    Raises:
        UserError: `plan` is no plan.
    """
    # A mistake in the plan itself is told even where no row could have it.
    StepPlan.parse(plan, source="--reference")
    found = [group for group in groups if _has(group.runs[0], plan)]
    alone = [group for group in found if teacher_of(group.runs[0]) is None]
    return max(alone or found, key=_dev_score, default=None)


def _has(record: RunRecord, plan: str) -> bool:
    steps = (record.manifest.backbone.model_extra or {}).get("steps")
    try:
        wanted = StepPlan.parse(plan, steps if isinstance(steps, int) else None)
    except UserError:
        # A plan that names a step this backbone has not is no plan of it.
        return False
    return record.manifest.plan in (plan, str(wanted))


def _dev_score(group: Group) -> float:
    return statistics.fmean(float(run.manifest.metrics["dev"]["score"]) for run in group.runs)
