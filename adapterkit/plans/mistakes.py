"""Where in a plan a mistake stands, and the error that says so."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from adapterkit.runs.errors import UserError, nearest

_SHOWN = 80


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
        hints = [text for text in (hint, self._foreign) if text is not None]
        return UserError(
            problem,
            where=f"{self.source}, character {self.offset + 1}",
            found=f'"{self.shown}"',
            allowed=allowed,
            hint="; ".join(hints) or None,
        )

    def unknown(
        self, what: str, allowed: Sequence[str], aliases: Mapping[str, str] | None = None
    ) -> UserError:
        """The error about a name that is none of those allowed, with the one nearest to it.

        Args:
            what: What it was taken for.
            allowed: The names there are.
            aliases: Other spellings of theirs.
        """
        other = aliases or {}
        close = nearest(self.text, (*allowed, *other))
        close = other.get(close, close) if close else None
        return self.error(
            f"There is no {what} '{self.shown}'.",
            allowed=allowed,
            hint=f"did you mean {close!r}?" if close else None,
        )

    @property
    def shown(self) -> str:
        """The text as a message can show it: of limited length, nothing a terminal obeys."""
        text = self.text if len(self.text) <= _SHOWN else f"{self.text[:_SHOWN]}..."
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

    @property
    def _foreign(self) -> str | None:
        """Characters that look like others, such as the dashes that word processors write."""
        found = [c for c in dict.fromkeys(self.text) if not c.isascii()]
        if not found:
            return None
        names = ", ".join(f"U+{ord(c):04X} {unicodedata.name(c, '')}".strip() for c in found[:3])
        return f"plans are written in plain ASCII; this has {names}"


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
