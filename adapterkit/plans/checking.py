"""What makes clauses a plan: no overlap, no gap, steps that exist, something that learns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adapterkit.plans.choice import Choice
from adapterkit.plans.mistakes import say_all_steps, say_steps
from adapterkit.plans.syntax import ALL, HEAD, REST, Clause
from adapterkit.runs.errors import UserError


def check_clauses(clauses: Sequence[Clause], total: int | None) -> None:
    """Check that the clauses neither overlap nor leave a step out.

    Raises:
        UserError: They do; says which steps and where.
    """
    seen: set[int] = set()
    has_rest = False
    for clause in clauses:
        if clause.steps is None:
            if has_rest:
                raise clause.spot.error(f"{ALL!r} or {REST!r} stands twice in the plan.")
            has_rest = True
            continue
        overlap = seen & set(clause.steps)
        if overlap:
            raise clause.spot.error(
                f"The plan overlaps itself: step {say_steps(overlap)} has a mechanism already.",
                allowed=None if total is None else say_all_steps(total),
                hint="name each step once",
            )
        if total is not None and clause.steps[-1] >= total:
            missing = say_steps(step for step in clause.steps if step >= total)
            raise clause.spot.error(
                f"There is no recursion step {missing}.", allowed=say_all_steps(total)
            )
        seen |= set(clause.steps)
    if not has_rest:
        _check_gaps(clauses[0].spot.source, seen, total)


def check_steps(plan: str, named: Iterable[int], has_rest: bool, total: int) -> None:
    """Check the steps that a plan names against a backbone's number of steps.

    Raises:
        UserError: The plan names steps that are not there, or leaves steps out.
    """
    named = set(named)
    missing = [step for step in named if step >= total]
    if missing:
        raise UserError(
            f"There is no recursion step {say_steps(missing)}.",
            where=f"the plan {plan}",
            allowed=say_all_steps(total),
        )
    if not has_rest:
        _check_gaps(f"the plan {plan}", named, total)


def check_learning(choices: Sequence[Choice], source: str) -> None:
    """Check that something learns.

    Raises:
        UserError: Every step is frozen.
    """
    if not any(choice.definition.learns for choice in choices):
        raise UserError(
            "The plan selects nothing: every step is frozen.",
            where=source,
            found=", ".join(map(str, choices)),
            hint=f"give some steps a mechanism, or train the task head alone with --mode {HEAD}",
        )


def check_mixture(choices: Sequence[Choice], source: str) -> None:
    """Check that nothing learns in a backbone that a side path reads.

    Raises:
        UserError: Something does, or there are two side paths.
    """
    learning = [choice for choice in choices if choice.definition.learns]
    beside = next((choice for choice in learning if choice.definition.beside), None)
    if beside is not None and len(learning) > 1:
        raise UserError(
            f"Nothing else can learn beside {beside}: it reads a backbone that does not change, "
            "and no gradient goes through the backbone.",
            where=source,
            found=", ".join(map(str, learning)),
            allowed=f"{beside} and frozen, each at the steps you choose",
            hint="make the other steps frozen, or give all of them the same options",
        )


def _check_gaps(source: str, named: set[int], total: int | None) -> None:
    gaps = set(range(max(named) + 1 if total is None else total)) - named
    if gaps:
        raise UserError(
            f"The plan does not say what adapts step {say_steps(gaps)}.",
            where=source,
            found=f"steps {say_steps(named)}",
            allowed=None if total is None else say_all_steps(total),
            hint=f"add {say_steps(gaps)}:frozen, or {REST}:frozen for all others",
        )
