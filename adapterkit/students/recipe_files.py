"""Finding and reading recipes, with the line of every mistake."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from adapterkit.runs.errors import UserError, nearest
from adapterkit.students.recipe import Recipe
from adapterkit.tasks.model_keys import keys_at, model_in
from adapterkit.tasks.yaml_files import Location, read_yaml

_FOLDER = Path(__file__).resolve().parent / "recipes"
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")

# What pydantic says in Python's words.
_WANTED = {
    "tuple_type": "a list, such as [A, B]",
    "model_type": "keys and values, such as {key: value}",
    "model_attributes_type": "keys and values, such as {key: value}",
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-'",
}


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_recipe(
    name_or_path: str | Path,
    settings: Mapping[str, Any] | None = None,
    corpus: Sequence[Path] = (),
) -> Recipe:
    """Load a shipped recipe by name, or a YAML file.

    Args:
        name_or_path: A name from `recipe_names`, or a path that ends in ``.yaml`` or ``.yml``.
        settings: Values that replace the file's, by dotted key: ``{"training.tokens": 1000}``.
        corpus: Files that replace those the recipe names.

    Returns:
        The recipe; the corpus files are absolute paths of files that exist.

    Raises:
        UserError: There is no such recipe, it is not valid, or a corpus file is not there.
    """
    path = _locate(name_or_path)
    values, lines = _read(path)
    values.setdefault("name", path.stem)
    if corpus:
        _replace(values, "corpus.files", [str(file.expanduser().resolve()) for file in corpus])
    for key, value in (settings or {}).items():
        _replace(values, key, value)
    recipe = _validate(values, lines, path, set(settings or {}))
    files = tuple(
        _corpus_file(file, path.parent, _where(("corpus", "files", index), lines, path))
        for index, file in enumerate(recipe.corpus.files)
    )
    located = recipe.corpus.model_copy(update={"files": files})
    return recipe.model_copy(update={"corpus": located})


def parse_setting(text: str) -> tuple[str, Any]:
    """Split ``key=value``; the value is read as YAML.

    Raises:
        UserError: It is not of that form.
    """
    key, equals, value = text.partition("=")
    try:
        if equals and key.strip():
            return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        pass
    raise UserError(
        "a setting is a key and a value",
        where="--set",
        found=text,
        allowed="KEY=VALUE, such as training.batch_tokens=4096 or layers=[2,4,6]",
    )


def _locate(name_or_path: str | Path) -> Path:
    text = os.fspath(name_or_path)
    if text.lower().endswith((".yaml", ".yml")):
        path = Path(text).expanduser()
        if not path.is_file():
            raise UserError(
                "there is no such recipe file",
                where=text,
                allowed=[*recipe_names(), "or the path of a YAML file"],
            )
        return path.resolve()
    names = recipe_names()
    if text not in names:
        close = nearest(text, names)
        raise UserError(
            f"there is no recipe {text!r}",
            where="RECIPE",
            allowed=names,
            hint=f"did you mean {close}?" if close else "give the path of a YAML file",
        )
    return _FOLDER / f"{text}.yaml"


def _read(path: Path) -> tuple[dict[Any, Any], dict[Location, int]]:
    return read_yaml(path, "recipe", "corpus, training, objective")


def _replace(values: dict[Any, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        if not isinstance(values.get(section), dict):
            values[section] = {}
        values = values[section]
    values[last] = value


def _corpus_file(text: str, folder: Path, where: str) -> str:
    missing = [a or b for a, b in _VARIABLE.findall(text) if not os.environ.get(a or b)]
    if missing:
        raise UserError(
            f"the recipe names its corpus by ${missing[0]}, which is not set",
            where=where,
            found=text,
            hint=f"set {missing[0]}, or name the text with --corpus FILE",
        )
    path = folder / Path(os.path.expandvars(text)).expanduser()
    if not path.is_file():
        raise UserError(
            "there is no such corpus file",
            where=where,
            found=str(path),
            allowed="text in UTF-8, or gzip of it",
            hint="correct the path, or name the text with --corpus FILE",
        )
    return str(path.resolve())


def _validate(
    values: dict[Any, Any], lines: Mapping[Location, int], path: Path, typed: set[str]
) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        # A misspelt key first: it often is the one that is missing as well.
        problems = sorted(
            error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden"
        )
        found, allowed, hint = _describe(problems[0])
        rest = [_describe(problem)[0] for problem in problems[1:]]
        location = _in_file(tuple(problems[0]["loc"]))
        key = ".".join(map(str, location))
        raise UserError(
            "the recipe is not valid",
            where=f"--set {key}" if key in typed else _where(location, lines, path),
            found="; ".join([found, *rest]),
            allowed=allowed,
            hint=hint,
        ) from error


def _in_file(location: Location) -> Location:
    """Drop what pydantic adds to a place to tell members of a union apart."""
    kept: list[str | int] = []
    model: type[BaseModel] | None = Recipe
    for step in location:
        if isinstance(step, str) and (model is None or "[" in step or step in ("int", "bool")):
            continue
        kept.append(step)
        field = model.model_fields.get(str(step)) if model else None
        model = model_in(field.annotation) if field else None
    return tuple(kept)


def _describe(problem: Any) -> tuple[str, str | None, str | None]:
    location = _in_file(tuple(problem["loc"]))
    key = ".".join(map(str, location))
    if problem["type"] == "extra_forbidden":
        keys = keys_at(Recipe, location[:-1])
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


def _where(location: Location, lines: Mapping[Location, int], path: Path) -> str:
    """The file and line of a key or, where it is not written, of the nearest key above it."""
    for length in range(len(location), 0, -1):
        for at in (location[:length], tuple(map(str, location[:length]))):
            if at in lines:
                return f"{path}, line {lines[at]}"
    return str(path)
