"""Choosing the folder that something new is made in."""

from __future__ import annotations

from pathlib import Path

from adapterkit.runs.errors import UserError


def unused(path: Path) -> Path:
    """`path`, or the first of ``path-2``, ``path-3`` ... that does not exist."""
    free, number = path, 2
    while free.exists():
        free, number = path.with_name(f"{path.name}-{number}"), number + 1
    return free


def check_fresh(
    path: Path, *, finished: str | None = None, unfinished: str | None = None, hint: str = ""
) -> None:
    """Check that nothing stands in a folder, apart from hidden files.

    Args:
        path: The folder, which need not exist.
        finished: What finished thing it holds, if it holds one.
        unfinished: What unfinished thing it holds.
        hint: What else can be done with what is there.

    Raises:
        UserError: Something stands there.
    """
    another = "choose another --output"
    if finished or unfinished:
        joined = f"{another}; {hint}" if finished else f"{hint}; or {another}"
        raise UserError(
            f"the output directory holds {finished or unfinished}",
            where=str(path),
            hint=joined if hint else another,
        )
    if path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir()):
        raise UserError(
            "the output directory is not empty",
            where=str(path),
            allowed="a new or an empty directory",
            hint=another,
        )
