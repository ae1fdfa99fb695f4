"""Reading JSON lines: one object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.examples import Example
from adapterkit.tasks.readers.rows import Row, examples_from_rows
from adapterkit.tasks.readers.text import read_lines


def read_jsonl(path: Path, task: TaskConfig) -> tuple[Example, ...]:
    """Read one split of a task of any kind: words and tags, or a text and its label or labels.

    Raises:
        UserError: Naming file and line, if the file cannot be read as this task's.
    """
    return examples_from_rows(read_json_rows(path), path, task, task.columns)


def read_json_rows(path: Path) -> list[Row]:
    """Return the objects of a JSON-lines file with their lines; blank lines are passed over."""
    rows: list[Row] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        values = _load(line, f"{path}, line {number}")
        if not isinstance(values, dict):
            raise UserError(
                "the line is not a JSON object",
                where=f"{path}, line {number}",
                found=line[:80],
                allowed='an object, such as {"text": "...", "label": "..."}',
            )
        rows.append(Row(number, values))
    return rows


def _load(line: str, where: str) -> Any:
    try:
        values = json.loads(line, object_pairs_hook=_distinct)
        json.dumps(values, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        where = f"{where}, character {error.pos + 1}"
        raise _not_json(error.msg, where, line) from error
    except RecursionError as error:
        raise _not_json("it is nested too deeply", where, line) from error
    except UnicodeEncodeError as error:
        raise _not_json("half of a surrogate pair stands alone", where, line) from error
    except ValueError as error:
        raise _not_json(str(error), where, line) from error
    return values


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return values


def _not_json(reason: str, where: str, line: str) -> UserError:
    return UserError(
        f"the line is not JSON as it should be: {reason}",
        where=where,
        found=line[:80],
        allowed="one JSON object a line",
    )
