"""Reading the plain data files that datasets keep at the Hugging Face Hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import HubSource, TaskConfig
from adapterkit.tasks.examples import Example
from adapterkit.tasks.readers.jsonl import read_json_rows
from adapterkit.tasks.readers.rows import Row, examples_from_rows
from adapterkit.tasks.readers.text import read_lines


def read_hub_file(path: Path, task: TaskConfig) -> tuple[Example, ...]:
    """Read a JSON, JSON-lines or parquet file laid out as ``task.hub`` says.

    Rows without a word are passed over (some conversions end in one), labels listed in
    ``ignore_labels`` are taken off, and sentences are joined to documents where the task asks.

    Raises:
        UserError: If the task names no hub source, or the file is not as it says.
    """
    hub = task.hub
    if hub is None:
        raise UserError(f"task {task.name} names no dataset at the hub", where="hub")
    rows = [row for row in _read_rows(path) if _has_content(row, hub, task)]
    if task.kind != "ner":
        rows = [Row(row.line, _known_labels(row.values, hub, task)) for row in rows]
        if hub.join_documents:
            rows = _join(rows, hub)
    return examples_from_rows(rows, path, task, hub.columns)


def _read_rows(path: Path) -> list[Row]:
    if path.suffix == ".parquet":
        # pyarrow takes half a second to import: only where a parquet file is read.
        import pyarrow.parquet  # type: ignore[import-untyped]

        try:
            table = pyarrow.parquet.read_table(path)
        except pyarrow.ArrowInvalid as error:
            raise UserError(
                "the file is not a parquet table", where=str(path), found=str(error).split("\n")[0]
            ) from error
        return [Row(number, values) for number, values in enumerate(table.to_pylist(), start=1)]
    first = next(line for line in read_lines(path) if line.strip())
    if not first.lstrip().startswith("["):
        return read_json_rows(path)
    try:
        values = json.loads("\n".join(read_lines(path)))
    except json.JSONDecodeError as error:
        raise UserError(
            f"the file is not JSON: {error.msg}", where=f"{path}, line {error.lineno}"
        ) from error
    return [Row(number, value) for number, value in enumerate(values, start=1)]


def _has_content(row: Row, hub: HubSource, task: TaskConfig) -> bool:
    key = hub.columns.tokens if task.kind == "ner" else str(hub.columns.text)
    return bool(row.values.get(key, True))


def _known_labels(values: Mapping[str, Any], hub: HubSource, task: TaskConfig) -> dict[str, Any]:
    """Spell labels as the task does, whatever their case, and leave the ignored ones out."""
    key = str(hub.columns.label)
    if key not in values:
        return dict(values)
    spelled = {label.lower(): label for label in task.labels}
    raw = values[key] if isinstance(values[key], list) else [values[key]]
    labels = [spelled.get(str(x).lower(), str(x)) for x in raw if x not in hub.ignore_labels]
    return {**values, key: labels if task.kind == "multilabel" else labels[0]}


def _join(rows: Iterable[Row], hub: HubSource) -> list[Row]:
    """Join sentences, in their order, to one row a document with the union of their labels."""
    columns = hub.columns
    id_key, text_key, label_key = str(columns.id), str(columns.text), str(columns.label)
    separator = columns.document_separator or "_"
    parts: dict[str, list[Row]] = {}
    for row in rows:
        document = str(row.values[id_key]).rpartition(separator)[0]
        parts.setdefault(document, []).append(row)
    return [
        Row(
            sentences[0].line,
            {
                id_key: document,
                text_key: " ".join(str(row.values[text_key]) for row in sentences),
                label_key: [label for row in sentences for label in row.values[label_key]],
            },
        )
        for document, sentences in parts.items()
    ]
