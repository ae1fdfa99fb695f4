r"""Tables as LaTeX, for ``\usepackage{booktabs,graphicx}``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adapterkit.comparing.tables.columns import MINUS, PLUS_MINUS, Column, shown_columns
from adapterkit.comparing.tables.footing import caption
from adapterkit.comparing.tables.row import Row
from adapterkit.comparing.tables.table import Table

_PARTS = ("score", "size", "cost")
_SHRUNK = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""No wider than the text; what is narrower keeps its size."""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"$<$",
    ">": r"$>$",
    MINUS: r"$-$",
    PLUS_MINUS: r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
}


def render(tables: Sequence[Table]) -> str:
    """Return tables as floats, each in parts below each other with its notes at the end."""
    columns = [column for column in shown_columns(tables) if column.heading != "settings"]
    return "\n".join(
        ["% Needs \\usepackage{booktabs,graphicx}.", *(_float(t, columns) for t in tables)]
    )


def _float(table: Table, columns: Sequence[Column]) -> str:
    parts = [[column for column in columns if column.topic in ("plan", part)] for part in _PARTS]
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        rf"\caption{{{_escape(f'{table.task}: {caption(table)}')}}}",
        rf"\label{{tab:{table.task}}}",
        r"\par\smallskip",
        *(line for part in parts for line in _tabular(table, part)),
        r"\raggedright",
        *(rf"\par {_escape(note)}" for note in table.notes),
        *(rf"\par Left out: {_escape(f'{i.path}: {i.reason}')}" for i in table.left_out),
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _tabular(table: Table, columns: Sequence[Column]) -> list[str]:
    alignment = "".join("r" if column.is_number else "l" for column in columns)
    return [
        _SHRUNK,
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _line(_escape(column.heading) for column in columns),
        _line(_escape(column.unit) for column in columns),
        r"\midrule",
        *(line for row in table.rows for line in _lines(columns, row)),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\par\medskip",
    ]


def _lines(columns: Sequence[Column], row: Row) -> list[str]:
    lines = [_line(_cell(column, row) for column in columns)]
    if row.settings:
        # It stands below the plan, across the other columns.
        lines.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\quad {_escape(row.settings)}}} \\")
    return lines


def _cell(column: Column, row: Row) -> str:
    text = _escape(column.text(row))
    if column.heading == "plan":
        return rf"\texttt{{{text}}}"
    return rf"\textbf{{{text}}}" if column.heading == "score" and row.best else text


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escape(text: str) -> str:
    escaped = "".join(_ESCAPES.get(character, character) for character in text)
    # LaTeX would make one long dash of the two before an option's name.
    return escaped.replace("--", "-{}-")
