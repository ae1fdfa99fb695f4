"""Reading a suite's file, with the line of every mistake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterkit.backbones.sources import check_source
from adapterkit.backbones.stated import stated_steps
from adapterkit.comparing.suites.suite import Suite
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError, nearest
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.yaml_files import Location, read_yaml
from adapterkit.tasks.yaml_models import place, validated

_DATA_KEYWORDS = ("auto", "sample", "hub")


@dataclass(frozen=True)
class SuiteFile:
    """A suite as its file says it, checked as far as nothing heavy is needed.

    Attributes:
        path: The file.
        suite: What it says; paths in it are absolute.
        tasks: The configuration of each task, by what the suite calls it.
    """

    path: Path
    suite: Suite
    tasks: dict[str, TaskConfig]


def read_suite(path: str | Path, seeds: int | None = None) -> SuiteFile:
    """Read a suite from its YAML file.

    Args:
        path: The file.
        seeds: Number of seeds, in place of what the file says.

    Raises:
        UserError: There is no such file, or it is no suite; says at which line.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise _no_file(file)
    values, lines = read_yaml(file, "suite", "name, tasks, plans, seeds")
    values.setdefault("name", file.stem)
    if seeds is not None:
        values["seeds"] = seeds
    suite = _with_absolute_paths(
        validated(Suite, values, lines, file, "suite"), file.resolve().parent
    )
    tasks = {
        name: _task(name, _item("tasks", number, lines, file))
        for number, name in enumerate(suite.tasks)
    }
    _check_backbones(suite, lines, file)
    _check_plans(suite, lines, file)
    _check_search(suite, lines, file)
    return SuiteFile(file.resolve(), suite, tasks)


def _no_file(file: Path) -> UserError:
    beside = [str(found) for found in sorted(file.parent.glob("*.y*ml"))]
    close = nearest(str(file), beside)
    return UserError(
        "there is no such suite file",
        where="SUITE.yaml",
        found=str(file),
        allowed=beside or "the path of a YAML file",
        hint=f"did you mean {close}?" if close else None,
    )


def _with_absolute_paths(suite: Suite, folder: Path) -> Suite:
    """Take paths as relative to the suite's file; the runs may be made from anywhere."""

    def task(name: str) -> str:
        is_file = name.lower().endswith((".yaml", ".yml"))
        return str((folder / Path(name).expanduser()).resolve()) if is_file else name

    def source(name: str) -> str:
        path = folder / Path(name).expanduser()
        return str(path.resolve()) if name not in _DATA_KEYWORDS and path.is_dir() else name

    changes: dict[str, Any] = {
        "tasks": tuple(map(task, suite.tasks)),
        "backbones": tuple(map(source, suite.backbones)),
        "data": source(suite.data),
    }
    if suite.search is not None:
        tasks = tuple(map(task, suite.search.tasks))
        changes["search"] = suite.search.model_copy(update={"tasks": tasks})
    return suite.model_copy(update=changes)


def _task(name: str, where: str) -> TaskConfig:
    try:
        return load_task(name)
    except UserError as error:
        # Mistakes inside the task's own file are told with the lines of that file.
        if error.where not in ("--task", name):
            raise
        raise _at(error, where) from error


def _check_backbones(suite: Suite, lines: dict[Location, int], file: Path) -> None:
    for number, backbone in enumerate(suite.backbones):
        try:
            check_source(backbone)
        except UserError as error:
            raise _at(error, _item("backbones", number, lines, file)) from error


def _check_plans(suite: Suite, lines: dict[Location, int], file: Path) -> None:
    steps = {backbone: stated_steps(backbone) for backbone in suite.backbones}
    seen: dict[str, str] = {}
    for number, entry in enumerate(suite.plans):
        where = _item("plans", number, lines, file)
        for backbone, count in steps.items():
            plan = str(StepPlan.parse(entry.plan, count, source=where))
            key = f"{backbone} {plan}"
            if key in seen:
                raise UserError(
                    "two plans of the suite are the same",
                    where=where,
                    found=f"{entry.plan!r} and {seen[key]!r}",
                    hint="leave one of them out; other values of an option stand under vary",
                )
            seen[key] = entry.plan


def _check_search(suite: Suite, lines: dict[Location, int], file: Path) -> None:
    for number, name in enumerate(suite.search.tasks if suite.search else ()):
        if name not in suite.tasks:
            raise UserError(
                "the search is on a task that the suite does not have",
                where=place(("search", "tasks", number), lines, file),
                found=name,
                allowed=suite.tasks,
            )


def _item(key: str, number: int, lines: dict[Location, int], file: Path) -> str:
    return place((key, number), lines, file)


def _at(error: UserError, where: str) -> UserError:
    return UserError(
        error.problem, where=where, found=error.found, allowed=error.allowed, hint=error.hint
    )
