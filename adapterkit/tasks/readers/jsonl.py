"""Reading JSON lines: one object a line."""

from __future__ import annotations

import json
from pathlib import Path

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
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"the line is not JSON: {error.msg}",
                where=f"{path}, line {number}, character {error.pos + 1}",
                found=line[:80],
                allowed="one JSON object a line",
            ) from error
        if not isinstance(values, dict):
            raise UserError(
                "the line is not a JSON object",
                where=f"{path}, line {number}",
                found=line[:80],
                allowed='an object, such as {"text": "...", "label": "..."}',
            )
        rows.append(Row(number, values))
    return rows
