"""Where in a plan a mistake stands, and the error that says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adapterkit.runs.errors import UserError, nearest


@dataclass(frozen=True)
class Spot:
    """A piece of a plan's text.

    Args:
        source: Option or file (with line) the text comes from.
        text: The piece.
        offset: Characters of the source's text that stand before it.
    """

    source: str
    text: str
    offset: int = 0

    def part(self, start: int, end: int | None = None) -> Spot:
        """The characters from `start` up to `end` of this piece."""
        return Spot(self.source, self.text[start:end], self.offset + start)

    def stripped(self) -> Spot:
        """This piece without the white space around it."""
        start = len(self.text) - len(self.text.lstrip())
        return Spot(self.source, self.text.strip(), self.offset + start)

    def error(
        self, problem: str, allowed: str | Iterable[str] | None = None, hint: str | None = None
    ) -> UserError:
        """The error about this piece."""
        return UserError(
            problem,
            where=f"{self.source}, character {self.offset + 1}",
            found=f'"{self.text}"',
            allowed=allowed,
            hint=hint,
        )

    def unknown(self, what: str, allowed: Sequence[str], name: str | None = None) -> UserError:
        """The error about a name that is none of those allowed, with the one nearest to it."""
        close = nearest(name or self.text, allowed)
        return self.error(
            f"There is no {what} {name or self.text!r}.",
            allowed=allowed,
            hint=f"did you mean {close!r}?" if close else None,
        )


def say_steps(steps: Iterable[int]) -> str:
    """Steps as plans write them: ``0-2,5``."""
    runs: list[list[int]] = []
    for step in sorted(steps):
        if runs and runs[-1][1] == step - 1:
            runs[-1][1] = step
        else:
            runs.append([step, step])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def say_all_steps(total: int) -> str:
    """The steps of a backbone, in words."""
    return f"the backbone has the recursion steps {say_steps(range(total))}"
