from __future__ import annotations

from pathlib import Path

import pytest

from adapterkit.comparing.report.page import render_report
from adapterkit.comparing.tables.table import Table
from tests.comparing.making import table


@pytest.fixture(scope="session")
def made_table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return table(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def page(made_table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a table."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report([made_table]), encoding="utf-8")
    return path
