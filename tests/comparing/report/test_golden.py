"""The report, word for word.

``python -m tests.comparing.report.test_golden`` writes the file anew; look at the page before
committing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from adapterkit.comparing.report.page import render_report
from tests.comparing.making import table

GOLDEN = Path(__file__).parent / "golden" / "report.html"


def test_the_report_is_as_recorded(tmp_path: Path) -> None:
    assert render_report([table(tmp_path)]) == GOLDEN.read_text(encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(render_report([table(Path(folder))]), encoding="utf-8")
