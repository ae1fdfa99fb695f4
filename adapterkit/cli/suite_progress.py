"""How a suite goes, as a bar and lines on standard error."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from adapterkit.cli.output import console, human_seconds

if TYPE_CHECKING:
    from adapterkit.comparing.suites.cell import Cell
    from adapterkit.comparing.suites.runner import Outcome
    from adapterkit.comparing.suites.standing import Standing


class SuiteProgress:
    """Prints a line for every cell that ends, and a bar while it is entered.

    A `comparing.suites.runner.Listener`. Without a terminal no bar is drawn, and every line says
    how far the suite has come.
    """

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[standing]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._current: TaskID | None = None

    def __enter__(self) -> SuiteProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def phase(self, name: str, total: int) -> None:
        """So many cells are run next."""
        if self._current is not None:
            self._bars.stop_task(self._current)
        self._current = self._bars.add_task(name, total=total, standing="")
        if not self._console.is_terminal:
            self._console.print(f"{name}: {total}")

    def started(self, cell: Cell, standing: Standing) -> None:
        """A cell was started."""
        self._draw(standing)

    def ended(self, outcome: Outcome, standing: Standing) -> None:
        """A cell has ended, or had before."""
        if not outcome.is_reused or outcome.status == "failed":
            line = f"{outcome.status} {outcome.cell.name} after {human_seconds(outcome.seconds)}"
            if outcome.is_reused:
                line = f"failed before: {outcome.cell.name}"
            if outcome.error:
                line += f": {outcome.error.splitlines()[0]}"
            if not self._console.is_terminal:
                line += f" [{_said(standing)}]"
            self._console.print(line)
        self._draw(standing)

    def waiting(self, standing: Standing) -> None:
        """Some time has passed."""
        self._draw(standing)

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        self._console.print(message)

    def _draw(self, standing: Standing) -> None:
        if self._current is None:
            return
        self._bars.update(
            self._current,
            total=standing.total,
            completed=standing.done + standing.failed,
            standing=_said(standing, with_done=False),
        )


def _said(standing: Standing, *, with_done: bool = True) -> str:
    parts = [f"{standing.done} of {standing.total} done"] if with_done else []
    parts += [f"{standing.running} running", f"{standing.failed} failed"]
    if standing.seconds_left is not None and standing.seconds_left >= 1:
        parts.append(f"about {human_seconds(standing.seconds_left)} left")
    return ", ".join(parts)
