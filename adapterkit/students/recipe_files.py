"""Finding and reading recipes, with the line of every mistake."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from adapterkit.runs.errors import UserError, nearest
from adapterkit.students.recipe import Recipe
from adapterkit.tasks.yaml_files import Location, read_yaml
from adapterkit.tasks.yaml_models import place, validated

_FOLDER = Path(__file__).resolve().parent / "recipes"
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")


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
    recipe = validated(Recipe, values, lines, path, "recipe", set(settings or {}))
    files = tuple(
        _corpus_file(file, path.parent, place(("corpus", "files", index), lines, path))
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
