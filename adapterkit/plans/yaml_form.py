"""Reading plans from YAML files.

Either ``mode: adapter``, with ``steps: 3-5`` where the others stay frozen; or a mapping from steps
to mechanisms, by itself or under ``plan``; or the short form under ``plan``::

    plan:
      0-2: frozen
      3-4: adapter(seq_bn,r=16)
      5: full
"""

from __future__ import annotations

from pathlib import Path

import yaml

from adapterkit.plans.mistakes import Spot
from adapterkit.plans.syntax import (
    ALL,
    REST,
    Clause,
    mode_clauses,
    parse_choice,
    parse_clauses,
    parse_steps,
)
from adapterkit.runs.errors import UserError

_FORM = (
    "mode: MECHANISM, and steps: STEPS if not all; "
    "or plan: with one line STEPS: MECHANISM for each run of steps"
)


def read_yaml_clauses(path: Path) -> list[Clause]:
    """Read the clauses of the plan in the file `path`.

    Raises:
        UserError: The file cannot be read or holds no plan; says at which line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "The plan's file cannot be read.", where=str(path), found=str(error)
        ) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError("The plan's file is no YAML.", where=str(path), found=str(error)) from error
    return _clauses(node, path)


def _clauses(node: yaml.Node | None, path: Path) -> list[Clause]:
    pairs = _pairs(node, path)
    names = [key.value for key, _ in pairs]
    if sorted(names) in (["mode"], ["mode", "steps"]):
        spots = {name: _spot(value, path) for name, (_, value) in zip(names, pairs, strict=True)}
        return mode_clauses(spots["mode"], spots.get("steps"))
    if names == ["plan"]:
        value = pairs[0][1]
        if isinstance(value, yaml.ScalarNode):
            return parse_clauses(_spot(value, path))
        pairs = _pairs(value, path)
    clauses = []
    for key, value in pairs:
        steps_spot, choice_spot = _spot(key, path), _spot(value, path)
        steps = None if steps_spot.text in (ALL, REST) else parse_steps(steps_spot)
        clauses.append(Clause(steps, parse_choice(choice_spot), steps_spot))
    return clauses


def _pairs(node: yaml.Node | None, path: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise UserError("The file holds no plan.", where=str(path), allowed=_FORM)
    return list(node.value)


def _spot(node: yaml.Node, path: Path) -> Spot:
    source = f"{path}, line {node.start_mark.line + 1}"
    if not isinstance(node, yaml.ScalarNode):
        raise UserError("This is no plan.", where=source, allowed=_FORM)
    return Spot(source, str(node.value), node.start_mark.column)
