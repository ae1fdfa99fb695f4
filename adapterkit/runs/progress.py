"""How long work says where it stands, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener; the command line draws bars, a service may count, a test may record."""

    def begin(self, phase: str, total: int | None = None) -> None:
        """A phase begins, which ends the one before.

        Args:
            phase: What is done now, in words for the user: "training", "scoring test".
            total: How many units of work it has, where that is known.
        """

    def advance(self, units: int = 1, **measures: float) -> None:
        """Some of the phase is done; ``measures`` are the newest figures, such as the loss."""

    def say(self, message: str) -> None:
        """Tell something that should stay readable, such as the score after an epoch."""


class Silence:
    """The listener that does nothing."""

    def begin(self, phase: str, total: int | None = None) -> None:
        """Ignore it."""

    def advance(self, units: int = 1, **measures: float) -> None:
        """Ignore it."""

    def say(self, message: str) -> None:
        """Ignore it."""
