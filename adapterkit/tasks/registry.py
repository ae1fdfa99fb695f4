"""Finding tasks: the configurations shipped with adapterkit and the user's own YAML files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from adapterkit.runs.errors import UserError, nearest
from adapterkit.tasks.config import TaskConfig

_PACKAGE = Path(__file__).resolve().parents[1]
_Location = tuple[str | int, ...]


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
    if isinstance(name_or_path, str) and not text.endswith((".yaml", ".yml")):
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
    values, lines = _read_yaml(path)
    values.setdefault("name", path.stem)
    if isinstance(values.get("data", ""), str):
        folder = Path(values.get("data", "")).expanduser()
        values["data"] = (path.parent / folder).resolve()
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
    values, lines = _read_yaml(path)
    return _validate(values, lines, path)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, where PyYAML keeps the last in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[_Location, int]]:
    """Return the values and, for every key and item, the line it stands on."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = yaml.load(text, Loader=_Loader)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise UserError(
            "the task file is not UTF-8", where=f"{path}, byte {error.start}"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(
            f"the task file is not valid YAML: {error.problem}", where=f"{path}{line}"
        ) from error
    except yaml.YAMLError as error:
        raise UserError(
            "the task file is not valid YAML", where=str(path), found=str(error)
        ) from error
    if not isinstance(values, dict):
        raise UserError(
            "a task file holds keys and values",
            where=str(path),
            found=type(values).__name__,
            hint=f"see the shipped ones in {config_folder()}",
        )
    lines: dict[_Location, int] = {}
    _index_lines(root, (), lines)
    return values, lines


def _index_lines(node: Any, at: _Location, lines: dict[_Location, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*at, key.value)] = key.start_mark.line + 1
            _index_lines(value, (*at, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*at, index)] = item.start_mark.line + 1
            _index_lines(item, (*at, index), lines)


def _validate(values: dict[str, Any], lines: Mapping[_Location, int], path: Path) -> TaskConfig:
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
    problem: Any, lines: Mapping[_Location, int]
) -> tuple[str, str, str | None, str | None]:
    location: _Location = tuple(problem["loc"])
    place, line = "", lines.get(location)
    for length in range(len(location), 0, -1):
        if location[:length] in lines:
            line = lines[location[:length]]
            break
    place = f"line {line}" if line else "as a whole"
    key = ".".join(map(str, location))
    if problem["type"] == "extra_forbidden":
        keys = _keys_at(TaskConfig, location[:-1])
        close = nearest(str(location[-1]), keys)
        hint = f"did you mean {close}?" if close else None
        return place, f"unknown key {key}", ", ".join(keys), hint
    if problem["type"] == "missing":
        return place, f"the key {key} is missing", None, f"add {key}"
    message = problem["msg"].removeprefix("Value error, ")
    hint = None
    if problem["type"] == "string_type":
        message += f", not {problem['input']!r}"
        hint = "put it in quotes: YAML reads bare yes, no, on, off, true and dates as other things"
    return place, f"{key}: {message}" if key else message, None, hint


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys allowed at a place in the configuration."""
    current = model
    for step in location:
        field = current.model_fields.get(str(step))
        inner = _model_in(field.annotation) if field else None
        current = inner or current
    return list(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)
