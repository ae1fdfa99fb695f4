"""The shape of the package: floors, sizes, private names, imports that stay light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import adapterkit

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(adapterkit.__file__).resolve().parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 60
HEAVY = ("accelerate", "adapters", "datasets", "evaluate", "seqeval", "sklearn", "torch")
HEAVY += ("transformers",)
LIGHT = (
    "adapterkit",
    "adapterkit.cli.main",
    "adapterkit.comparing.ablating.ablation",
    "adapterkit.comparing.analysis.analysis",
    "adapterkit.comparing.report.page",
    "adapterkit.plans.step_plan",
    "adapterkit.tasks.config",
    "adapterkit.tasks.registry",
    "adapterkit.tasks.schemes",
    "adapterkit.tasks.sources",
)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def in_each_module(find: Callable[[ast.AST], list[Any]]) -> dict[str, list[Any]]:
    """Return what `find` finds, by module, leaving out modules where it finds nothing."""
    found = {str(path): find(parse(path)) for path in MODULES}
    return {path: places for path, places in found.items() if places}


def long_functions(tree: ast.AST) -> list[str]:
    """Return the functions whose body is too long; signature and docstring do not count."""
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    sizes = ((f.name, _body_lines(f)) for f in functions)
    return [f"{name}: {size} lines" for name, size in sizes if size > MAX_FUNCTION_LINES]


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def swallowing_handlers(tree: ast.AST) -> list[int]:
    """Return the lines of handlers that catch everything and can end without raising."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and _is_broad(node.type)
        and not isinstance(node.body[-1], ast.Raise)
    ]


def _is_broad(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in ("Exception", "BaseException"))
        for name in names
    )


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def room_of(module: str) -> str:
    """Return ``tasks`` for ``adapterkit.tasks.readers.conll``, "" for what is no room."""
    parts = module.split(".")
    return parts[1] if parts[0] == "adapterkit" and len(parts) > 1 else ""


def room_at(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def foreign_private_names(tree: ast.AST, room: str) -> list[str]:
    """Return the underscore names of other rooms that a module imports or reads."""
    found, aliases = [], set()
    for name, dotted in _package_imports(tree):
        if room_of(dotted) == room:
            continue
        aliases.add(name)
        if any(is_private(part) for part in dotted.split(".")):
            found.append(dotted)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner in aliases or (owner.split(".")[0] == "adapterkit" and room_of(owner) != room):
                found.append(f"{owner}.{node.attr}")
    return found


def _package_imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the local name and the dotted source of every import from adapterkit."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "adapterkit":
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "adapterkit":
                    yield alias.asname or alias.name, alias.name


def heavy_modules_after(code: str) -> list[str]:
    report = f"import json, sys; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    heavy: list[str] = json.loads(result.stdout.splitlines()[-1])
    return heavy


def test_the_package_was_found():
    assert len(MODULES) > 20


def test_rooms_import_downwards_only():
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 kept, 0 broken" in result.stdout


def test_modules_are_short():
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {str(path): size for path, size in sizes.items() if size > MAX_MODULE_LINES} == {}


def test_functions_are_short():
    assert in_each_module(long_functions) == {}


def test_no_handler_swallows_everything():
    assert in_each_module(swallowing_handlers) == {}


def test_modules_say_what_they_are():
    silent = [str(path) for path in MODULES if not ast.get_docstring(parse(path))]
    assert silent == []


def test_rooms_keep_their_private_names():
    found = {str(path): foreign_private_names(parse(path), room_at(path)) for path in MODULES}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("module", LIGHT)
def test_importing_stays_light(module: str):
    assert heavy_modules_after(f"import {module}") == []


def test_the_runs_room_needs_no_heavy_library():
    names = [f"adapterkit.runs.{path.stem}" for path in (PACKAGE / "runs").glob("[!_]*.py")]
    assert heavy_modules_after("import " + ", ".join(names)) == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["tune", "--help"]])
def test_help_needs_no_heavy_library(arguments: list[str]):
    code = (
        "from adapterkit.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as leaving:\n    assert not leaving.code"
    )
    assert heavy_modules_after(code) == []


def test_the_public_names_are_where_they_are_said_to_be():
    for name in adapterkit.__all__:
        assert getattr(adapterkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Adapter'"):
        adapterkit.Adapter  # noqa: B018


def test_heavy_imports_are_noticed():
    assert heavy_modules_after("import safetensors, seqeval") == ["seqeval"]


def test_long_functions_are_noticed():
    longest = ["    x = 1"] * MAX_FUNCTION_LINES
    heading = ["def f(", "    a,", "):", '    """One.', "", "    Two.", '    """']
    assert long_functions(ast.parse("\n".join([*heading, *longest]))) == []
    too_long = "\n".join([*heading, *longest, "    return a"])
    assert long_functions(ast.parse(too_long)) == [f"f: {MAX_FUNCTION_LINES + 1} lines"]


@pytest.mark.parametrize(
    ("handler", "swallows"),
    [
        ("except Exception:\n    pass", True),
        ("except:\n    pass", True),
        ("except (OSError, Exception) as e:\n    print(e)", True),
        ("except BaseException:\n    clean()\n    raise", False),
        ("except OSError:\n    pass", False),
    ],
)
def test_swallowing_handlers_are_noticed(handler: str, swallows: bool):
    assert bool(swallowing_handlers(ast.parse(f"try:\n    f()\n{handler}"))) is swallows


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from adapterkit.runs.atomic import _sync", ["adapterkit.runs.atomic._sync"]),
        ("from adapterkit.runs._deep import x", ["adapterkit.runs._deep.x"]),
        ("from adapterkit.runs import atomic\natomic._sync()", ["atomic._sync"]),
        ("import adapterkit.runs.atomic as a\na._sync()", ["a._sync"]),
        ("import adapterkit.runs.atomic\nadapterkit.runs.atomic._s", ["adapterkit.runs.atomic._s"]),
        ("from adapterkit.tasks.schemes import _split", []),
        ("from adapterkit import __version__", []),
        ("from elsewhere import _x", []),
    ],
)
def test_foreign_private_names_are_noticed(source: str, found: list[str]):
    assert foreign_private_names(ast.parse(source), "tasks") == found
