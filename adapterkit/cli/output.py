"""How the verbs speak: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from adapterkit.runs.jsonable import json_ready
from adapterkit.runs.quantities import human_bytes

__all__ = [
    "clear_stdout",
    "console",
    "human_bytes",
    "human_seconds",
    "print_facts",
    "print_json",
    "print_parts",
    "print_table",
    "text_of",
    "warn",
]

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Wide enough that nothing is wrapped where no terminal limits the line.
_WIDTH_WITHOUT_TERMINAL = 10_000


def print_json(obj: object) -> None:
    """Print ``obj`` as one line of JSON on standard output."""
    sys.stdout.write(json.dumps(json_ready(obj), allow_nan=False) + "\n")


@contextlib.contextmanager
def clear_stdout(wanted: bool) -> Iterator[None]:
    """While the block runs, send what libraries print to standard error, if ``wanted``."""
    if not wanted:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def console(*, stderr: bool = False) -> Console:
    """Return a rich console that wraps nothing when its output goes to a file or pipe."""
    from rich.console import Console

    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on standard output; columns whose cells are all numbers stand right."""
    from rich import box
    from rich.table import Table

    cells = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(columns):
        numbers = all(isinstance(row[index], (int, float)) for row in cells)
        table.add_column(name, justify="right" if numbers and cells else "left")
    for row in cells:
        table.add_row(*map(_cell, row))
    _print(table, stderr=False)


def print_facts(facts: Iterable[tuple[str, object]], *, stderr: bool = False) -> None:
    """Print names and values in two aligned columns."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, _cell(value))
    _print(table, stderr=stderr)


def print_parts(parts: Iterable[RenderableType]) -> None:
    """Print what rich renders on standard output, one part below the other."""
    for part in parts:
        _print(part, stderr=False)


def text_of(parts: Iterable[RenderableType]) -> str:
    """Return what `print_parts` prints where there is no terminal: plain text, nothing wrapped."""
    from rich.console import Console

    written = io.StringIO()
    plain = Console(
        file=written,
        width=_WIDTH_WITHOUT_TERMINAL,
        highlight=False,
        markup=False,
        emoji=False,
        color_system=None,
    )
    for part in parts:
        plain.print(part)
    # rich pads every line of a table to its width.
    lines = [line.rstrip() for line in written.getvalue().splitlines()]
    return "\n".join([*lines, ""])


def warn(message: str) -> None:
    """Print a warning on standard error that cannot be overlooked."""
    console(stderr=True).print(f"WARNING: {message}", style="bold yellow")


def human_seconds(seconds: float) -> str:
    """Return a duration as seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _print(part: RenderableType, *, stderr: bool) -> None:
    target = console(stderr=stderr)
    if target.is_terminal:
        target.print(part)
        return
    target.file.write(text_of([part]))
    target.file.flush()


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
