"""Reading delimited text classification: tab- or comma-separated values."""

from __future__ import annotations

import csv
from pathlib import Path

from adapterkit.runs.errors import UserError, nearest
from adapterkit.tasks.config import Columns, TaskConfig
from adapterkit.tasks.examples import Example
from adapterkit.tasks.readers.rows import Row, examples_from_rows
from adapterkit.tasks.readers.text import read_lines


def read_delimited(path: Path, task: TaskConfig) -> tuple[Example, ...]:
    """Read one split of a classification task from a ``.csv`` file or one separated by tabs.

    The first line names the columns, unless the task's YAML gives ``columns.text`` and
    ``columns.label`` as numbers. A comma-separated file may quote its values, line breaks
    included; in a tab-separated one every character stands for itself.

    Raises:
        UserError: Naming file and line, if the file cannot be read as this task's.
    """
    table = _read_table(path)
    columns = task.columns
    if isinstance(columns.text, int) and isinstance(columns.label, int):
        heading = [str(index) for index in range(len(table[0][1]))]
    else:
        heading = table.pop(0)[1]
    _check_heading(heading, path, columns)
    rows = []
    for number, cells in table:
        if len(cells) != len(heading):
            raise UserError(
                "the line has another number of columns than the first",
                where=f"{path}, line {number}",
                found=f"{len(cells)} column(s)",
                allowed=f"{len(heading)} columns",
            )
        values: dict[str, object] = dict(zip(heading, cells, strict=True))
        if task.kind == "multilabel":
            parts = cells[heading.index(str(columns.label))].split(columns.label_separator)
            values[str(columns.label)] = [part.strip() for part in parts if part.strip()]
        rows.append(Row(number, values))
    return examples_from_rows(rows, path, task, columns)


def _read_table(path: Path) -> list[tuple[int, list[str]]]:
    lines = read_lines(path)
    if path.suffix.lower() != ".csv":
        return [(n, line.split("\t")) for n, line in enumerate(lines, start=1) if line.strip()]
    table: list[tuple[int, list[str]]] = []
    reader = csv.reader((line + "\n" for line in lines), strict=True)
    begin = 1
    try:
        for cells in reader:
            if cells:
                table.append((begin, cells))
            begin = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"the line is not comma-separated values: {error}", where=f"{path}, line {begin}"
        ) from error
    return table


def _check_heading(heading: list[str], path: Path, columns: Columns) -> None:
    if repeated := sorted({name for name in heading if heading.count(name) > 1}):
        raise UserError(
            "a column is named twice",
            where=f"{path}, line 1",
            found=repeated[0],
            allowed="distinct headings",
        )
    wanted = [columns.text, columns.label, columns.id, columns.document]
    for name in (str(name) for name in wanted if name is not None):
        if name not in heading:
            close = nearest(name, heading)
            raise UserError(
                f"there is no column {name!r}",
                where=f"{path}, line 1",
                found=", ".join(heading),
                hint=(f"did you mean {close}? " if close else "")
                + "Name the column under columns in the task's YAML",
            )
