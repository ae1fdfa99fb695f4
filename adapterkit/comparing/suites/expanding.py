"""From a suite to its cells."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adapterkit.comparing.suites.cell import Cell
from adapterkit.comparing.suites.inputs import (
    BackboneFacts,
    Inputs,
    backbone_facts,
    code_version,
    configured,
)
from adapterkit.comparing.suites.reading import SuiteFile
from adapterkit.comparing.suites.suite import PlanEntry
from adapterkit.plans.step_plan import StepPlan
from adapterkit.tasks.checksums import data_checksums
from adapterkit.tuning.request import Request

Chosen = Callable[[str, str, str], Mapping[str, Any]]
"""What a search chose for a task, a plan as the suite spells it, and a backbone."""


@dataclass(frozen=True)
class Axes:
    """A suite's file, with what its tasks and backbones are.

    Attributes:
        file: The suite as its file says it.
        data: SHA-256 of each split, by task.
        backbones: Facts of each backbone.
    """

    file: SuiteFile
    data: Mapping[str, Mapping[str, str]]
    backbones: Mapping[str, BackboneFacts]

    def plan(self, entry: PlanEntry, backbone: str) -> str:
        """A plan in short form, every step of the backbone named."""
        return str(StepPlan.parse(entry.plan, self.backbones[backbone].steps))


def find_axes(file: SuiteFile) -> Axes:
    """Find the data and the backbones of a suite, and take their checksums.

    Raises:
        UserError: Some are missing or damaged, or a plan does not fit a backbone.
    """
    suite = file.suite
    backbones = {source: backbone_facts(source) for source in suite.backbones}
    for facts, entry in itertools.product(backbones.values(), suite.plans):
        StepPlan.parse(entry.plan, facts.steps, source=f"{file.path}: plan {entry.plan!r}")
    data = {name: data_checksums(task, suite.data)[1] for name, task in file.tasks.items()}
    return Axes(file, data, backbones)


def expand(axes: Axes, chosen: Chosen | None = None) -> list[Cell]:
    """The cells of a suite, in the order in which they are run.

    All plans of a task and seed come before the next seed, and all seeds before the next task, so
    that a suite that is stopped leaves rows that can be compared.

    Args:
        axes: The suite.
        chosen: What a search chose.
    """
    suite = axes.file.suite
    varied = suite.vary.given()
    variants = [tuple(zip(varied, values, strict=True)) for values in _products(varied)]
    cells = []
    for backbone, task, seed in itertools.product(suite.backbones, suite.tasks, suite.seeds):
        inputs = Inputs(
            configured(axes.file.tasks[task]),
            axes.data[task],
            axes.backbones[backbone].fingerprint,
            code_version(),
        )
        for entry, variant in itertools.product(suite.plans, variants):
            found = chosen(task, entry.plan, backbone) if chosen else {}
            options = {**suite.options.given(), **entry.options.given(), **dict(variant), **found}
            request = Request(
                task=task,
                plan=axes.plan(entry, backbone),
                backbone=backbone,
                data=suite.data,
                seed=seed,
                **options,
            )
            cells.append(Cell(request, inputs, entry.plan, variant))
    return cells


def _products(varied: Mapping[str, tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return list(itertools.product(*varied.values()))
