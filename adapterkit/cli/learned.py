"""Runs and packages as they are named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


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


def start_of(source: str) -> tuple[str, str]:
    """The folder and plan of a run or package to start from, verified.

    Args:
        source: A run directory, a package, or the name of one that was pulled.

    Raises:
        UserError: It is not there, or not as it was written.
    """
    from adapterkit.plans.manifest import read_plan_manifest

    folder = _verified_folder(source)
    return str(folder), read_plan_manifest(folder).plan


def fused_of(sources: Sequence[str]) -> tuple[list[str], str]:
    """The folders of runs or packages whose adapters are to be fused, verified, and the plan.

    Args:
        sources: Run directories, packages, or names of such as were pulled.

    Raises:
        UserError: One is not there, or not as it was written, or they cannot be fused.
    """
    from adapterkit.tuning.fusing import fused_plan

    folders = [_verified_folder(source) for source in sources]
    return [str(folder) for folder in folders], str(fused_plan(folders))


def stacked_of(source: str) -> tuple[str, str]:
    """The folder of a run or package whose adapter is to be stacked on, verified, and the plan.

    Args:
        source: A run directory, a package, or the name of one that was pulled.

    Raises:
        UserError: It is not there, or not as it was written, or it cannot be stacked on.
    """
    from adapterkit.tuning.stacking import stacked_plan

    folder = _verified_folder(source)
    return str(folder), str(stacked_plan(folder))


def teacher_of(source: str) -> str:
    """The folder of a run or package that is to teach, verified.

    Args:
        source: A run directory, a package, or the name of one that was pulled.

    Raises:
        UserError: It is not there, or not as it was written.
    """
    return str(_verified(source))


def _verified_folder(source: str) -> Path:
    """The folder of the adapted model of a run or package."""
    from adapterkit.runs.directory import RunDirectory
    from adapterkit.sharing.locating import is_package

    folder = _verified(source)
    return folder if is_package(folder) else RunDirectory(folder).adapter_path


def _verified(source: str) -> Path:
    from adapterkit.sharing.cache import user_package_cache
    from adapterkit.sharing.locating import is_package, located
    from adapterkit.sharing.seeds import read_sealed
    from adapterkit.sharing.verifying import verify_package

    path = located(source)
    if not is_package(path):
        read_sealed(path)
        return path
    folder = path if path.is_dir() else user_package_cache().keep(path)
    verify_package(folder)
    return folder
