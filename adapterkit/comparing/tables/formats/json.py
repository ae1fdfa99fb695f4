"""Tables as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from adapterkit.comparing.tables.columns import named_values
from adapterkit.comparing.tables.row import Row
from adapterkit.comparing.tables.table import Table
from adapterkit.runs.jsonable import json_ready

SCHEMA: Final = "adapterkit.table.v1"


def render(tables: Sequence[Table]) -> str:
    """Return tables with every value in full, and the runs that each row is the mean of."""
    content = {"schema": SCHEMA, "tables": [_table(table) for table in tables]}
    return json.dumps(json_ready(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _table(table: Table) -> dict[str, Any]:
    return {
        "task": table.task,
        "metric": table.metric,
        "split": table.split,
        "protocol": table.protocol,
        "data": table.data,
        "reference": table.reference,
        "rows": [_row(row) for row in table.rows],
        "notes": table.notes,
        "left_out": [
            {"run": item.path, "reason": item.reason, "task": item.task} for item in table.left_out
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        **named_values(row),
        "seeds": row.seeds,
        "scores": row.scores,
        "runs": [run.path for run in row.runs],
    }
