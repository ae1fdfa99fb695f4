r"""Tables as LaTeX, for ``\usepackage{booktabs}``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adapterkit.comparing.tables.columns import MINUS, PLUS_MINUS, Column, shown_columns
from adapterkit.comparing.tables.footing import caption
from adapterkit.comparing.tables.row import Row
from adapterkit.comparing.tables.table import Table

_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    MINUS: r"$-$",
    PLUS_MINUS: r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
}


def render(tables: Sequence[Table]) -> str:
    """Return tables as floats, each with its notes below it."""
    columns = shown_columns(tables)
    return "\n".join(["% Needs \\usepackage{booktabs}.", *(_float(t, columns) for t in tables)])


def _float(table: Table, columns: Sequence[Column]) -> str:
    alignment = "".join("r" if column.is_number else "l" for column in columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        rf"\caption{{{_escape(f'{table.task}: {caption(table)}')}}}",
        rf"\label{{tab:{table.task}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _line(_escape(column.heading) for column in columns),
        _line(_escape(column.unit) for column in columns),
        r"\midrule",
        *(_line(_cell(column, row) for column in columns) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par {_escape(note)}" for note in table.notes),
        *(rf"\par Left out: {_escape(f'{i.path}: {i.reason}')}" for i in table.left_out),
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _cell(column: Column, row: Row) -> str:
    text = _escape(column.text(row))
    if column.heading == "plan":
        return rf"\texttt{{{text}}}"
    return rf"\textbf{{{text}}}" if column.heading == "score" and row.best else text


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escape(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
