"""Every format of a fixed table, word for word.

``python -m tests.comparing.tables.test_formats`` writes the files anew; read the difference before
committing.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from adapterkit.comparing.records.left_out import LeftOut
from adapterkit.comparing.records.record import RunRecord
from adapterkit.comparing.statistics.difference import Difference
from adapterkit.comparing.statistics.spread import Spread
from adapterkit.comparing.tables.columns import COLUMNS
from adapterkit.comparing.tables.formats import registry, terminal
from adapterkit.comparing.tables.row import Inference, Row
from adapterkit.comparing.tables.table import Table
from adapterkit.runs.errors import UserError

GOLDEN = Path(__file__).parent / "golden"
TEXTS = {"markdown": "table.md", "csv": "table.csv", "latex": "table.tex", "json": "table.json"}
WIDTHS = {"terminal-100.txt": 100, "terminal-200.txt": 200}


def row(plan, task, **values):
    """A row whose runs are known by their paths alone, which is all that formats read."""
    names = tuple(f"runs/{task}-{seed}" for seed in range(5))
    runs = tuple(RunRecord.__new__(RunRecord) for _ in names)
    for run, name in zip(runs, names, strict=True):
        object.__setattr__(run, "path", Path(name))
    filled = {
        "backbone": "bundled",
        "seeds": (0, 1, 2, 3, 4),
        "head_parameters": 1_925,
        "difference": None,
        "p_holm": None,
        "aso_epsilon": None,
        "inference": None,
        "best": False,
        "runs": runs,
        "scores": (0.5, 0.6, 0.7, 0.8, 0.9),
        **values,
    }
    return Row(plan=plan, task=task, **filled)


FULL = row(
    "0-5:full",
    "bc5cdr",
    task_parameters=7_432_288,
    trainable=7_434_213,
    share=1.0002589,
    shipped_bytes=29_736_852,
    score=Spread(0.811, 0.0003, 5),
    train_seconds=Spread(1586.0, 150.0, 5),
    peak_bytes=Spread(2.1e9, 0.3e9, 5),
    inference=Inference(6.04, 7.56, 12_345.6, 4096, 1),
    best=True,
)
LORA = row(
    "0-2:frozen 3-5:adapter(lora,r=4)",
    "bc5cdr",
    task_parameters=9_216,
    trainable=11_141,
    share=0.0014989,
    shipped_bytes=44_564,
    score=Spread(0.7531, 0.0042, 5),
    difference=Difference(-0.0579, -0.0712, -0.0446, 0.0001),
    p_holm=0.0002,
    aso_epsilon=1.0,
    train_seconds=Spread(801.4, 3.2, 5),
    peak_bytes=Spread(1.2e9, None, 1),
    settings="learning_rate=0.001",
)
HEAD = row(
    "head",
    "hoc_v2",
    task_parameters=0,
    head_parameters=3_850,
    trainable=3_850,
    share=0.000518,
    shipped_bytes=15_400,
    seeds=(0,),
    score=Spread(0.5, None, 1),
    difference=Difference(-0.00001, -0.02, 0.02, 0.94),
    p_holm=0.94,
    train_seconds=Spread(12.0, None, 1),
    peak_bytes=Spread(0.9e9, None, 1),
)
SHARED = "Chosen on dev by 9 trials a plan | equal for all."
TABLES = [
    Table(
        task="bc5cdr",
        metric="strict_f1",
        protocol="word",
        data="env: data/bc5cdr_v1",
        rows=(LORA, FULL),
        notes=(SHARED, "Bold: significantly better than every other row (p < 0.05 after Holm)."),
        left_out=(
            LeftOut(Path("runs/edited_1"), "edited: it does not match its sha256", "bc5cdr"),
            LeftOut(Path("runs/gone"), "damaged"),
        ),
        reference="0-5:full",
    ),
    Table(
        task="hoc_v2",
        metric="micro_f1",
        protocol="word",
        data="the built-in sample",
        rows=(HEAD,),
        notes=(SHARED,),
        left_out=(LeftOut(Path("runs/gone"), "damaged"),),
        split="dev",
    ),
]


def on_terminal(width):
    written = io.StringIO()
    console = Console(file=written, width=width, markup=False, emoji=False, highlight=False)
    for part in terminal.render(TABLES):
        console.print(part)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def written(name):
    if name in WIDTHS:
        return on_terminal(WIDTHS[name])
    (format_,) = (key for key, file in TEXTS.items() if file == name)
    return registry.text_renderer(format_)(TABLES)


@pytest.mark.parametrize("name", [*TEXTS.values(), *WIDTHS])
def test_each_format_is_as_recorded(name):
    assert written(name) == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_format_is_recorded():
    assert {*TEXTS.values(), *WIDTHS} == {path.name for path in GOLDEN.iterdir()}
    # The report has tests of its own.
    assert {*registry.TEXTS} - {*TEXTS} == {"html"}


def test_a_format_that_is_not_there():
    with pytest.raises(UserError, match="no such format") as error:
        registry.text_renderer("markdwon")
    assert "did you mean markdown?" in str(error.value)


def test_csv_reads_back():
    lines = list(csv.DictReader(io.StringIO(registry.TEXTS["csv"](TABLES))))
    assert [line["task"] for line in lines] == ["bc5cdr", "bc5cdr", "hoc_v2"]
    assert float(lines[0]["difference_low"]) == -0.0712
    assert lines[1]["difference"] == ""
    assert (lines[0]["best"], lines[1]["best"]) == ("false", "true")
    assert set(lines[0]) >= {name for column in COLUMNS for name in column.names}


def test_json_holds_every_value_in_full():
    content = json.loads(registry.TEXTS["json"](TABLES))
    first, second = content["tables"]
    assert content["schema"] == "adapterkit.table.v1"
    assert first["rows"][1]["share"] == 1.0002589
    assert first["rows"][1]["tokens_per_second"] == 12_345.6
    assert first["rows"][0]["runs"][0] == "runs/bc5cdr-0"
    assert second["rows"][0]["score_sd"] is None
    assert second["left_out"] == [{"run": "runs/gone", "reason": "damaged", "task": None}]


def test_markdown_rows_have_as_many_cells_as_the_heading():
    lines = [line for line in written("table.md").splitlines() if line.startswith("|")]
    assert len(lines) == 2 * 2 + 3
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_latex_rows_have_as_many_cells_as_columns_and_nothing_unescaped():
    text = written("table.tex")
    parts = re.findall(r"\\begin{tabular}{([lr]+)}(.*?)\\end{tabular}", text, re.DOTALL)
    # For each task a part with scores, one with sizes, one with costs.
    assert len(parts) == 2 * 3
    for columns, body in parts:
        lines = [line for line in body.splitlines() if line.endswith("\\\\")]
        spanning = [line for line in lines if line.startswith(rf"\multicolumn{{{len(columns)}}}")]
        assert len(lines) - len(spanning) >= 3
        cells = {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines if line not in spanning}
        assert cells == {len(columns)}
    outside = re.sub(r"\\label{[^}]*}|^%.*$|{%$|\$[^$]*\$", "", text, flags=re.MULTILINE)
    assert not re.search(r"(?<!\\)[_%#]", outside)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2


@pytest.mark.slow
def test_latex_compiles_and_stays_on_the_page(tmp_path):
    """With whichever of the two programs is there; booktabs and graphicx come with LaTeX."""
    program = next((name for name in ("pdflatex", "tectonic") if shutil.which(name)), None)
    if program is None:
        pytest.skip("neither pdflatex nor tectonic is installed")
    note = r"100 % of a_b & c ~ d ^ e \ f {g} #1 $2 | --allow < >"
    tables = [replace(TABLES[0], notes=(*TABLES[0].notes, note)), TABLES[1]]
    (tmp_path / "table.tex").write_text(registry.TEXTS["latex"](tables), encoding="utf-8")
    (tmp_path / "page.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n"
        "\\begin{document}\n\\input{table}\n\\end{document}\n"
    )
    options = ["-interaction=nonstopmode", "-halt-on-error"] if program == "pdflatex" else []
    done = subprocess.run(
        [program, *options, "page.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    said = done.stdout + done.stderr
    assert "Overfull" not in said
    assert "Missing character" not in said
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_only_the_best_score_is_bold():
    assert written("table.md").count("**") == 2
    assert written("table.tex").count(r"\textbf") == 1
    (tie,) = [replace(TABLES[0], rows=(LORA, replace(FULL, best=False)))]
    assert "**" not in registry.TEXTS["markdown"]([tie])


def test_columns_that_say_nothing_are_left_out():
    (table,) = [replace(TABLES[0], rows=(replace(FULL, inference=None),))]
    heading = next(
        line for line in registry.TEXTS["markdown"]([table]).splitlines() if line.startswith("|")
    )
    for absent in ("latency p50", "settings", "backbone", "difference", "ASO"):
        assert f"| {absent}" not in heading
    other = replace(FULL, backbone="other")
    (two,) = [replace(TABLES[0], rows=(FULL, other))]
    assert "| backbone |" in registry.TEXTS["markdown"]([two])


if __name__ == "__main__":
    for recorded in (*TEXTS.values(), *WIDTHS):
        (GOLDEN / recorded).write_text(written(recorded), encoding="utf-8")
