"""The plan: what adapts each recursion step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapterkit.plans.checking import check_clauses, check_learning, check_mixture, check_steps
from adapterkit.plans.choice import FROZEN, Choice
from adapterkit.plans.mistakes import Spot, say_all_steps, say_steps
from adapterkit.plans.syntax import (
    ALL,
    HEAD,
    REST,
    Clause,
    mode_clauses,
    mode_names,
    parse_clauses,
)
from adapterkit.plans.yaml_form import read_yaml_clauses
from adapterkit.runs.errors import UserError


@dataclass(frozen=True)
class Assignment:
    """What adapts some steps.

    Args:
        steps: Consecutive steps; None stands for all that the plan does not name.
        choice: The mechanism, with its configuration.
    """

    steps: tuple[int, ...] | None
    choice: Choice


@dataclass(frozen=True)
class StepPlan:
    """What adapts each recursion step; every step has exactly one mechanism.

    ``str(plan)`` parses back to an equal plan.

    Args:
        assignments: Runs of steps in ascending order, the one for the steps not named last. Empty
            is the mode `head`: no step learns, only the task head.
    """

    assignments: tuple[Assignment, ...]

    @classmethod
    def parse(cls, text: str, steps: int | None = None, *, source: str = "--plan") -> StepPlan:
        """Read the short form, such as ``0-2:frozen 3-4:adapter(seq_bn,r=16) 5:full``.

        A single mechanism or adapter without steps (``adapter``, ``lora(r=4)``) is for every step,
        and ``head`` trains no step.

        Args:
            text: The plan.
            steps: Number of recursion steps of the backbone, where it is known already; the plan
                is then checked against it and names every step.
            source: Where `text` comes from, for errors.

        Raises:
            UserError: `text` is no plan, or not one for so many steps.
        """
        return cls._from_clauses(parse_clauses(Spot(source, text)), steps, source)

    @classmethod
    def read(cls, path: str | Path, steps: int | None = None) -> StepPlan:
        """Read a plan from a YAML file; see `yaml`.

        Raises:
            UserError: The file cannot be read or holds no plan; says at which line.
        """
        return cls._from_clauses(read_yaml_clauses(Path(path)), steps, str(path))

    @classmethod
    def from_options(
        cls,
        mode: str | None = None,
        steps: str | None = None,
        plan: str | None = None,
        total_steps: int | None = None,
        *,
        source: str = "--plan",
    ) -> StepPlan:
        """The plan that ``--mode``, ``--steps`` and ``--plan`` ask for together.

        Args:
            mode: One mechanism or adapter (``adapter``, ``lora``, ``full``, ...), or ``head``.
            steps: The steps it is for; the others stay frozen. None is every step.
            plan: A plan in short form, or the path of a YAML file. Excludes the other two.
            total_steps: Number of recursion steps of the backbone, where it is known already.
            source: Where `plan` comes from, for errors.

        Raises:
            UserError: The options contradict each other or are no plan.
        """
        if plan is not None:
            if mode is not None or steps is not None:
                other = "--mode" if mode is not None else "--steps"
                raise UserError(
                    f"{source} and {other} exclude each other.", hint="give one of them"
                )
            if plan.lower().endswith((".yaml", ".yml")):
                return cls.read(plan, total_steps)
            return cls.parse(plan, total_steps, source=source)
        if mode is None:
            raise UserError(
                "It is not said what learns.",
                allowed=f"--mode with {', '.join(mode_names())}; or {source}",
            )
        steps_spot = None if steps is None else Spot("--steps", steps)
        clauses = mode_clauses(Spot("--mode", mode), steps_spot)
        return cls._from_clauses(clauses, total_steps, "--mode")

    @classmethod
    def _from_clauses(cls, clauses: Sequence[Clause], total: int | None, source: str) -> StepPlan:
        check_clauses(clauses, total)
        if clauses[0].choice is None:
            return cls(())
        by_step: dict[int, Choice] = {}
        rest: Choice | None = None
        for clause in clauses:
            assert clause.choice is not None
            if clause.steps is None:
                rest = clause.choice
            else:
                by_step.update(dict.fromkeys(clause.steps, clause.choice))
        plan = cls(_runs(by_step, rest))
        check_learning(plan.choices, source)
        check_mixture(plan.choices, source)
        return plan if total is None else plan.for_steps(total)

    def __str__(self) -> str:
        if not self.assignments:
            return HEAD
        if self._uniform is not None:
            return str(self._uniform)
        return " ".join(f"{_say(a.steps, REST)}:{a.choice}" for a in self.assignments)

    @property
    def _uniform(self) -> Choice | None:
        alone = len(self.assignments) == 1 and self.assignments[0].steps is None
        return self.assignments[0].choice if alone else None

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The different choices, in the order of their first steps."""
        return tuple(dict.fromkeys(assignment.choice for assignment in self.assignments))

    def resolve(self, total: int) -> tuple[Choice, ...]:
        """The choice for each of `total` steps.

        Raises:
            UserError: The plan names steps that are not there, or leaves steps out.
        """
        named = {step for a in self.assignments for step in a.steps or ()}
        rest = next((a.choice for a in self.assignments if a.steps is None), None)
        if not self.assignments:
            rest = FROZEN
        check_steps(str(self), named, rest is not None, total)
        by_step = {step: a.choice for a in self.assignments for step in a.steps or ()}
        return tuple(by_step.get(step, rest or FROZEN) for step in range(total))

    def for_steps(self, total: int) -> StepPlan:
        """The same plan with every one of `total` steps named; `head` stays `head`."""
        choices = self.resolve(total)
        if not self.assignments:
            return self
        plan = StepPlan(_runs(dict(enumerate(choices)), None))
        check_learning(plan.choices, str(self))
        check_mixture(plan.choices, str(self))
        return plan

    def check(self, total: int, has_layerwise: bool) -> None:
        """Check the plan against a backbone.

        Args:
            total: Number of recursion steps of the backbone.
            has_layerwise: Whether it has pretrained layer-wise adapters.

        Raises:
            UserError: The plan does not fit the backbone.
        """
        choices = self.for_steps(total).resolve(total)
        for step, choice in enumerate(choices):
            if choice.definition.needs_layerwise and not has_layerwise:
                raise UserError(
                    f"The backbone has no layer-wise adapters for {choice} to train.",
                    where=f"step {step} of the plan {self}",
                    allowed="frozen, adapter, full, untied, side; " + say_all_steps(total),
                    hint="use an adapter instead, or another backbone",
                )

    def first_learning_step(self, total: int) -> int | None:
        """The lowest step where something learns, or None for `head`."""
        choices = self.resolve(total)
        return next((i for i, c in enumerate(choices) if c.definition.learns), None)

    def yaml(self) -> str:
        """The plan as a YAML file holds it: a mapping from steps to mechanisms, or a mode.

        `read` reads it back to an equal plan.
        """
        if not self.assignments or self._uniform is not None:
            return f"mode: {self}\n"
        lines = (f'"{_say(a.steps, REST)}": {a.choice}' for a in self.assignments)
        return "plan:\n" + "".join(f"  {line}\n" for line in lines)


def _say(steps: tuple[int, ...] | None, unnamed: str = ALL) -> str:
    return unnamed if steps is None else say_steps(steps)


def _runs(by_step: dict[int, Choice], rest: Choice | None) -> tuple[Assignment, ...]:
    runs: list[tuple[list[int], Choice]] = []
    for step, choice in sorted(by_step.items()):
        if runs and runs[-1][1] == choice and runs[-1][0][-1] == step - 1:
            runs[-1][0].append(step)
        else:
            runs.append(([step], choice))
    named = [Assignment(tuple(steps), choice) for steps, choice in runs]
    return (*named, Assignment(None, rest)) if rest is not None else tuple(named)
