"""The one error a user is meant to read: what was wrong, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend.

    The command line prints ``str(error)`` and exits with status 2, without a traceback.

    Args:
        problem: What was wrong, in one sentence.
        where: File (with line), option or field in which it was found.
        found: What stood there.
        allowed: What may stand there: a sentence, or the allowed values.
        hint: What to do next.
    """

    def __init__(
        self,
        problem: str,
        *,
        where: str | None = None,
        found: str | None = None,
        allowed: str | Iterable[str] | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        self.where = where
        self.found = found
        self.allowed = (
            allowed if allowed is None or isinstance(allowed, str) else ", ".join(map(str, allowed))
        )
        self.hint = hint
        super().__init__(problem)

    def __str__(self) -> str:
        details = {
            "where": self.where,
            "found": self.found,
            "allowed": self.allowed,
            "to do": self.hint,
        }
        lines = [f"  {name}: {text}" for name, text in details.items() if text]
        return "\n".join([self.problem, *lines])


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate spelled most like ``name``, or None where nothing is close.

    Case is ignored, so that ``BC5CDR`` finds ``bc5cdr``.
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None
