"""Holding what a YAML file says to a pydantic model, with the line of every mistake."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from adapterkit.runs.errors import UserError, nearest
from adapterkit.tasks.model_keys import keys_at, model_in
from adapterkit.tasks.yaml_files import Location

Model = TypeVar("Model", bound=BaseModel)

# What pydantic says in Python's words.
_WANTED = {
    "tuple_type": "a list, such as [A, B]",
    "dict_type": "keys and values, such as {key: value}",
    "model_type": "keys and values, such as {key: value}",
    "model_attributes_type": "keys and values, such as {key: value}",
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-'",
}


def validated(
    model: type[Model],
    values: Mapping[Any, Any],
    lines: Mapping[Location, int],
    path: Path,
    kind: str,
    typed: Collection[str] = (),
) -> Model:
    """Return the model that the values of a file make.

    Args:
        model: What the file describes.
        values: Of the file; see `yaml_files.read_yaml`.
        lines: The line of every key and item.
        path: The file.
        kind: What sort of file it is, for messages.
        typed: Dotted keys whose values came from ``--set`` and not from the file.

    Raises:
        UserError: They make none; names file, line, and the nearest key that is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # A misspelt key first: it often is the one that is missing as well.
        problems = sorted(
            error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden"
        )
        found, allowed, hint = _describe(model, problems[0])
        rest = [_describe(model, problem)[0] for problem in problems[1:]]
        location = _in_file(model, tuple(problems[0]["loc"]))
        key = ".".join(map(str, location))
        raise UserError(
            f"the {kind} is not valid",
            where=f"--set {key}" if key in typed else place(location, lines, path),
            found="; ".join([found, *rest]),
            allowed=allowed,
            hint=hint,
        ) from error


def place(location: Location, lines: Mapping[Location, int], path: Path) -> str:
    """The file and line of a key or, where it is not written, of the nearest key above it."""
    for length in range(len(location), 0, -1):
        # A key that YAML reads as a number is text in the index of lines.
        for at in (location[:length], tuple(map(str, location[:length]))):
            if at in lines:
                return f"{path}, line {lines[at]}"
    return str(path)


def _in_file(root: type[BaseModel], location: Location) -> Location:
    """Drop what pydantic adds to a place to tell members of a union apart."""
    kept: list[str | int] = []
    model: type[BaseModel] | None = root
    is_free = False
    for step in location:
        if is_free and isinstance(step, str) and "[" not in step:
            kept.append(step)
            is_free = False
            continue
        if isinstance(step, str) and (model is None or "[" in step or step in ("int", "bool")):
            continue
        kept.append(step)
        field = model.model_fields.get(str(step)) if model else None
        if field is not None or not isinstance(step, int):
            model = model_in(field.annotation) if field else None
        is_free = field is not None and _is_dictionary(field.annotation)
    return tuple(kept)


def _is_dictionary(annotation: Any) -> bool:
    """Whether the file chooses the keys below a key with this annotation."""
    members = (annotation, *get_args(annotation))
    return any(get_origin(member) is dict for member in members)


def _describe(model: type[BaseModel], problem: Any) -> tuple[str, str | None, str | None]:
    location = _in_file(model, tuple(problem["loc"]))
    key = ".".join(map(str, location))
    if problem["type"] == "extra_forbidden":
        keys = keys_at(model, location[:-1])
        close = nearest(str(location[-1]), keys)
        return f"unknown key {key}", ", ".join(keys), f"did you mean {close}?" if close else None
    if problem["type"] == "missing":
        return f"the key {key} is missing", None, f"add {key}"
    message = problem["msg"].removeprefix("Value error, ")
    if wanted := _WANTED.get(problem["type"]):
        return f"{key}: {problem['input']!r}", wanted, None
    if problem["type"] != "value_error":
        message = f"{problem['input']!r}: {message}"
    return f"{key}: {message}" if key else message, None, None
