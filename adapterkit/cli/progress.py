"""Progress bars on standard error."""

from __future__ import annotations

from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from adapterkit.cli.output import console


class ProgressBars:
    """Draws one bar a phase while it is entered; a `runs.progress.Progress`.

    Without a terminal no bars are drawn; the phases and what is said are printed as lines.

    Args:
        passing: Leave no trace: remove the bars at the end, and name no phases in a log.
    """

    def __init__(self, *, passing: bool = False) -> None:
        self._names_phases = not passing
        self._console = console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[measures]}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=passing,
        )
        self._current: TaskID | None = None

    def __enter__(self) -> ProgressBars:
        self._bars.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            self._end()
        self._bars.stop()

    def begin(self, phase: str, total: int | None = None) -> None:
        """Start a bar, and end the one before."""
        self._end()
        self._current = self._bars.add_task(phase, total=total, measures="")
        if self._names_phases and not self._console.is_terminal:
            self._console.print(phase)

    def advance(self, units: int = 1, **measures: float) -> None:
        """Move the bar on."""
        if self._current is None:
            return
        self._bars.advance(self._current, units)
        if measures:
            text = " ".join(f"{name} {_short(value)}" for name, value in measures.items())
            self._bars.update(self._current, measures=text)

    def say(self, message: str) -> None:
        """Print a line above the bars."""
        self._console.print(message)

    def _end(self) -> None:
        if self._current is None:
            return
        task = self._bars.tasks[self._bars.task_ids.index(self._current)]
        done = task.total if task.total is not None else task.completed
        self._bars.update(self._current, total=done, completed=done)
        self._bars.stop_task(self._current)


def _short(value: float) -> str:
    """Four digits of a small number, all of a large one."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
