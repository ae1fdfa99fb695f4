"""What packages are called: ``task@plan``, and ``task@plan:tag`` for one of its versions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError

LATEST = "latest"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}"
_NAME = re.compile(rf"{_PART}@{_PART}")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION = re.compile(r"v[1-9][0-9]{0,8}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """One package, or the version of it that a tag names.

    Attributes:
        name: ``task@plan``.
        tag: ``v3``, an alias such as ``latest``, or ``sha256:...``, the digest of its archive.
    """

    name: str
    tag: str = LATEST

    def __str__(self) -> str:
        return self.name if self.tag == LATEST else f"{self.name}:{self.tag}"

    @property
    def is_digest(self) -> bool:
        """Whether the tag is a digest, which stands for the same bytes everywhere."""
        return _DIGEST.fullmatch(self.tag) is not None

    @classmethod
    def parse(cls, text: str, *, source: str = "NAME") -> Reference:
        """Read ``task@plan`` or ``task@plan:tag``.

        Args:
            text: The reference.
            source: Where it comes from, for errors.

        Raises:
            UserError: It is none.
        """
        name, colon, tag = text.partition(":")
        reference = cls(check_name(name, source=source), tag if colon else LATEST)
        if not (reference.is_digest or _TAG.fullmatch(reference.tag)):
            raise UserError(
                "This is no version of a package.",
                where=source,
                found=reference.tag[:100],
                allowed="v1, v2, ..., an alias, or sha256: with 64 hexadecimal digits",
            )
        return reference


def looks_like_name(text: str) -> bool:
    """Whether `text` can only be meant as the name of a package."""
    name, _, _ = text.partition(":")
    return _NAME.fullmatch(name) is not None


def check_name(name: str, *, source: str) -> str:
    """Return a package's name if it is one.

    Only ASCII letters, digits, dots, dashes and underscores: no two names look alike.

    Args:
        name: The name.
        source: Where it comes from, for errors.

    Raises:
        UserError: It is none.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            "This is no name of a package.",
            where=source,
            found=ascii(name[:120])[1:-1],
            allowed="TASK@PLAN, such as bc5cdr@upper-half: ASCII letters, digits, '.', '-', '_'",
        )
    return name


def check_alias(alias: str, *, source: str = "--alias") -> str:
    """Return an alias if it is one.

    Args:
        alias: The alias.
        source: Where it comes from, for errors.

    Raises:
        UserError: It is none, or would be read as a version.
    """
    if alias == LATEST or _VERSION.fullmatch(alias) or not _TAG.fullmatch(alias):
        raise UserError(
            "This is no alias.",
            where=source,
            found=ascii(alias[:120])[1:-1],
            allowed="ASCII letters, digits, '.', '-' and '_', but neither 'latest' nor v1, v2, ...",
        )
    return alias


def default_name(task: str, plan: str) -> str:
    """A name from a task and a plan in short form, such as ``bc5cdr@adapter-double-seq-bn-r-12``.

    What frozen steps there are, the others tell.
    """
    clauses = str(StepPlan.parse(plan)).split()
    learning = [clause for clause in clauses if not clause.endswith(":frozen")]
    told = " ".join(learning)
    if len(learning) == len(clauses) == 1:
        told = told.rpartition(":")[2]
    slug = re.sub(r"[^A-Za-z0-9]+", "-", told).strip("-").lower()
    return f"{task}@{slug[:80].rstrip('-') or 'head'}"
