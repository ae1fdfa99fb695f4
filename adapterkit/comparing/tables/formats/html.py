"""Tables as the report: one HTML file that works offline."""

from __future__ import annotations

from collections.abc import Sequence

from adapterkit.comparing.tables.table import Table


def render(tables: Sequence[Table]) -> str:
    """Return the report on tables and on the runs in them."""
    from adapterkit.comparing.report.page import render_report

    return render_report(tables)
