"""Finding tasks: the configurations shipped with adapterkit and the user's own YAML files."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapterkit.runs.errors import UserError, nearest
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.model_keys import keys_at
from adapterkit.tasks.yaml_files import Location, read_yaml

# What pydantic says in Python's words.
_WANTED = {
    "tuple_type": "a list, such as [A, B]",
    "dict_type": "keys and values, such as {key: value}",
    "model_type": "keys and values, such as {key: value}",
    "model_attributes_type": "a name, or keys and values such as {data: train.tsv}",
    "path_type": "a folder",
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-'; the file's name by default",
}

_PACKAGE = Path(__file__).resolve().parents[1]


def config_folder() -> Path:
    """Return the folder of the shipped configurations: in the wheel, or in a source checkout."""
    installed = _PACKAGE / "task_configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "task_configs"


def task_names() -> list[str]:
    """Return the names of the shipped tasks, sorted."""
    return sorted(path.stem for path in config_folder().glob("*.yaml"))


def load_task(name_or_path: str | Path) -> TaskConfig:
    """Load a task by name, or from a YAML file of the user's.

    Args:
        name_or_path: A name from `task_names`, or a path that ends in ``.yaml`` or ``.yml``.
            The files such a YAML names are looked for in its ``data`` folder, by default the
            folder it stands in.

    Raises:
        UserError: If there is no such task, or its configuration is not valid.
    """
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, str) and not text.lower().endswith((".yaml", ".yml")):
        return _load_shipped(text)
    path = Path(text).expanduser()
    if not path.is_file():
        raise UserError(
            "there is no such task file",
            where=str(path),
            hint=f"give the path of a YAML file, or one of: {', '.join(task_names())}",
        )
    if path.resolve().parent == config_folder().resolve():
        return _load_shipped(path.stem)
    values, lines = read_yaml(path)
    values.setdefault("name", path.stem)
    folder = values.get("data") or ""
    if isinstance(folder, str):
        values["data"] = (path.parent / Path(folder).expanduser()).resolve()
    return _validate(values, lines, path)


def _load_shipped(name: str) -> TaskConfig:
    path = config_folder() / f"{name}.yaml"
    names = task_names()
    if name not in names:
        close = nearest(name, names)
        raise UserError(
            f"there is no task {name!r}",
            where="--task",
            found=name,
            allowed=names,
            hint=f"did you mean {close}?" if close else "for a task of your own give its YAML file",
        )
    return _read_shipped(path, path.stat().st_mtime_ns)


@functools.cache
def _read_shipped(path: Path, changed: int) -> TaskConfig:
    values, lines = read_yaml(path)
    return _validate(values, lines, path)


def _validate(values: dict[str, Any], lines: Mapping[Location, int], path: Path) -> TaskConfig:
    try:
        return TaskConfig.model_validate(values)
    except ValidationError as error:
        # A misspelt key first: it often is the one that is missing as well.
        problems = sorted(
            error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden"
        )
        described = [_describe(problem, lines) for problem in problems]
        place, found, allowed, hint = described[0]
        rest = [f"{other[0]}: {other[1]}" for other in described[1:]]
        raise UserError(
            "the task file is not valid",
            where=f"{path}, {place}",
            found="; ".join([found, *rest]),
            allowed=allowed,
            hint=hint,
        ) from error


def _describe(
    problem: Any, lines: Mapping[Location, int]
) -> tuple[str, str, str | None, str | None]:
    location: Location = tuple(problem["loc"])
    place = _place(location, problem["msg"], lines)
    key = ".".join(str(part) for part in location if part != "[key]")
    if problem["type"] == "extra_forbidden":
        keys = keys_at(TaskConfig, location[:-1])
        close = nearest(str(location[-1]), keys)
        hint = f"did you mean {close}?" if close else None
        return place, f"unknown key {key}", ", ".join(keys), hint
    if problem["type"] == "missing":
        return place, f"the key {key} is missing", None, f"add {key}"
    message = problem["msg"].removeprefix("Value error, ")
    if wanted := _WANTED.get(problem["type"]):
        return place, f"{key}: {problem['input']!r}", wanted, None
    hint = None
    if problem["type"] == "string_type":
        message += f", not {problem['input']!r}"
        hint = "put it in quotes: YAML reads bare yes, no, on, off, true and dates as other things"
    return place, f"{key}: {message}" if key else message, None, hint


def _place(location: Location, message: str, lines: Mapping[Location, int]) -> str:
    """Return the line of a key or, where it is not written, of the nearest key above it."""
    for length in range(len(location), 0, -1):
        # A key that YAML reads as a number is text in the index of lines.
        for at in (location[:length], tuple(map(str, location[:length]))):
            if at in lines:
                return f"line {lines[at]}"
    if not location:
        # What concerns several keys names the one at fault.
        named = [at for at in lines if ".".join(map(str, at)) in message.split()]
        if named:
            return f"line {lines[max(named, key=len)]}"
    return "line 1"
