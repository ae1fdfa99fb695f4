"""Runs and packages as they are named on the command line."""

from __future__ import annotations


def check_there(source: str) -> None:
    """Check that a run or package is there, before the libraries, which take seconds, are loaded.

    Args:
        source: A run directory, a package, or the name of one that was pulled.

    Raises:
        UserError: It is not, or is damaged.
    """
    from adapterkit.runs.manifest import load
    from adapterkit.sharing.locating import is_package, located

    path = located(source)
    if not is_package(path):
        load(path)
