"""Choosing hyper-parameters on dev, with the same number of trials for every plan."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterkit.comparing.suites.cell import Cell
from adapterkit.comparing.suites.dev_task import DevTask, write_dev_task
from adapterkit.comparing.suites.expanding import Axes
from adapterkit.comparing.suites.inputs import Inputs, code_version, configured
from adapterkit.comparing.suites.runner import Outcome
from adapterkit.comparing.suites.search_space import Dimension, Search, Space
from adapterkit.comparing.suites.suite import PlanEntry
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from adapterkit.tuning.request import Request

if TYPE_CHECKING:
    import optuna

_WHOLE = ("epochs", "batch_tokens", "patience")


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    Attributes:
        values: The hyper-parameters.
        score: Mean dev score over the tasks of the study; None if a run failed.
    """

    values: Mapping[str, Any]
    score: float | None


@dataclass
class Study:
    """The search for one plan on one backbone, by the dev scores of some tasks.

    Trials follow one another, each chosen by the scores before it, so that what is tried depends
    neither on how many cells run side by side nor on where the suite was stopped.

    Attributes:
        entry: The plan.
        backbone: The backbone.
        tasks: The tasks, as the suite calls them.
        space: What is searched.
        trials: What was tried, in order.
    """

    entry: PlanEntry
    backbone: str
    tasks: tuple[str, ...]
    space: Space
    sampler: optuna.Study
    trials: list[Trial] = field(default_factory=list)
    asked: optuna.trial.Trial | None = None
    values: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float | None] = field(default_factory=dict)

    def ask(self) -> None:
        """Choose the next setting."""
        self.asked = self.sampler.ask(_distributions(self.space))
        self.values = {name: _plain(name, value) for name, value in self.asked.params.items()}
        self.scores = {}

    def tell(self) -> None:
        """Take in the scores of the setting, once all its runs have ended."""
        from optuna.trial import TrialState

        assert self.asked is not None
        known = [score for score in self.scores.values() if score is not None]
        score = statistics.fmean(known) if len(known) == len(self.tasks) else None
        if score is None:
            self.sampler.tell(self.asked, state=TrialState.FAIL)
        else:
            self.sampler.tell(self.asked, score)
        self.trials.append(Trial(self.values, score))

    @property
    def best(self) -> Trial | None:
        """The trial with the best score, the first of equals; None if all failed."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return max(scored, key=lambda trial: trial.score or 0.0) if scored else None

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, for ``suite.json``."""
        best = self.best
        return {
            "plan": self.entry.plan,
            "backbone": self.backbone,
            "tasks": list(self.tasks),
            "space": str(self.space),
            "chosen": None if best is None else dict(best.values),
            "dev_score": None if best is None else best.score,
            "trials": [{"values": dict(t.values), "dev_score": t.score} for t in self.trials],
        }


class Searching:
    """All studies of a suite, as cells for a `Runner`.

    Args:
        axes: The suite, which has a search.
        folder: Where the files of its tasks are written.

    Raises:
        UserError: Optuna is not installed, or data are missing.
    """

    def __init__(self, axes: Axes, folder: Path) -> None:
        search = axes.file.suite.search
        assert search is not None
        self._axes, self._search = axes, search
        suite = axes.file.suite
        groups = [search.tasks] if search.tasks else [(task,) for task in suite.tasks]
        self.studies = [
            _study(search, entry, backbone, group)
            for backbone, group, entry in itertools.product(suite.backbones, groups, suite.plans)
        ]
        names = sorted({task for study in self.studies for task in study.tasks})
        self._tasks: dict[str, DevTask] = {
            name: write_dev_task(axes.file.tasks[name], suite.data, folder) for name in names
        }
        self._study_of: dict[str, tuple[Study, str]] = {}

    @property
    def total(self) -> int:
        """Runs of the whole search."""
        return sum(self._search.trials * len(study.tasks) for study in self.studies)

    def first(self) -> list[Cell]:
        """The cells of every study's first trial."""
        return [cell for study in self.studies for cell in self._next(study)]

    def follow_up(self, outcome: Outcome) -> Iterable[Cell]:
        """The cells of a study's next trial, once all cells of this one have ended."""
        study, task = self._study_of[outcome.cell.identity]
        manifest = outcome.folder.manifest()
        score = None if manifest is None else float(manifest.metrics["dev"]["score"])
        study.scores[task] = score
        if len(study.scores) < len(study.tasks):
            return ()
        study.tell()
        return self._next(study) if len(study.trials) < self._search.trials else ()

    def chosen(self, task: str, plan: str, backbone: str) -> Mapping[str, Any]:
        """What was chosen for the runs of a task; nothing where all trials failed."""
        for study in self.studies:
            is_for_task = bool(self._search.tasks) or task in study.tasks
            if is_for_task and study.entry.plan == plan and study.backbone == backbone:
                return study.best.values if study.best else {}
        return {}

    def notes(self) -> list[str]:
        """The budget and what it was spent on, in words for the notes of a table."""
        search = self._search
        by = "by the mean over " + ", ".join(search.tasks) if search.tasks else "for each task"
        fixed = "".join(f", {name} {value}" for name, value in search.options.given().items())
        own = "".join(f"; {family}: {space}" for family, space in search.families.items())
        notes = [
            f"hyper-parameters were chosen on dev, never on test: {search.trials} trials for every "
            f"plan, {by} (Optuna TPE, seed {search.seed}{fixed}) over {search.space}{own}"
        ]
        for study in self.studies:
            failed = sum(trial.score is None for trial in study.trials)
            if failed:
                kept = "" if study.best else "; its runs have the defaults"
                tasks = ", ".join(study.tasks)
                notes.append(
                    f"{failed} of {search.trials} trials of {study.entry.plan} on {tasks} "
                    f"failed{kept}"
                )
        return notes

    def _next(self, study: Study) -> list[Cell]:
        study.ask()
        cells = []
        for task in study.tasks:
            cell = self._cell(study, task)
            self._study_of[cell.identity] = (study, task)
            cells.append(cell)
        return cells

    def _cell(self, study: Study, task: str) -> Cell:
        dev = self._tasks[task]
        suite = self._axes.file.suite
        inputs = Inputs(
            configured(dev.task),
            dev.sha256,
            self._axes.backbones[study.backbone].fingerprint,
            code_version(),
        )
        options = {
            **suite.options.given(),
            **study.entry.options.given(),
            **self._search.options.given(),
            **study.values,
        }
        request = Request(
            task=str(dev.file),
            plan=self._axes.plan(study.entry, study.backbone),
            backbone=study.backbone,
            data=dev.data,
            seed=self._search.seed,
            **options,
        )
        return Cell(request, inputs, study.entry.plan, tuple(study.values.items()))


def _study(search: Search, entry: PlanEntry, backbone: str, tasks: tuple[str, ...]) -> Study:
    optuna = _optuna()
    learning = [choice for choice in StepPlan.parse(entry.plan).choices if choice.definition.learns]
    space = search.space_of({choice.family for choice in learning} or {"head"})
    # One seed for all: where spaces are the same, every plan starts from the same settings.
    sampler = optuna.samplers.TPESampler(seed=search.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    return Study(entry, backbone, tasks, space, study)


def _distributions(space: Space) -> dict[str, Any]:
    return {name: _distribution(name, found) for name, found in space.dimensions().items()}


def _distribution(name: str, dimension: Dimension) -> Any:
    from optuna import distributions

    if dimension.choices:
        return distributions.CategoricalDistribution(dimension.choices)
    low, high = dimension.low or 0.0, dimension.high or 0.0
    if name in _WHOLE:
        return distributions.IntDistribution(int(low), int(high), log=dimension.log)
    return distributions.FloatDistribution(low, high, log=dimension.log)


def _plain(name: str, value: Any) -> Any:
    """A number that reads well in a table and on a command line."""
    return int(value) if name in _WHOLE else float(f"{value:.3g}")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "a search for hyper-parameters needs Optuna, which is not installed",
            where="search",
            hint="pip install 'adapterkit[bench]', or leave the section search out",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
