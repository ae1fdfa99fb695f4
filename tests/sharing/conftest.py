"""Tiny runs, packed."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterkit.sharing.packing import pack
from adapterkit.tuning.run import Run
from tests.tuning.conftest import (
    RunTiny,
    _fast_collections,
    _fast_metrics,
    backbone,
    corpus,
    finished,
    options,
    plain_backbone,
    run_tiny,
)

__all__ = [
    "_fast_collections",
    "_fast_metrics",
    "backbone",
    "corpus",
    "finished",
    "options",
    "plain_backbone",
    "run_tiny",
]

TEXTS = ("aspirin induced seizure in patients", "the nausea was after lithium", "of the")


@pytest.fixture(scope="session")
def package(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of `finished`, for tests that only read it."""
    folder = tmp_path_factory.mktemp("packages") / "package"
    pack([finished.path], folder, name="bc5cdr@tiny", licence="apache-2.0")
    return folder


@pytest.fixture(scope="session")
def seeds(run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Three runs that differ in their seeds alone."""
    folder = tmp_path_factory.mktemp("seeds")
    return [run_tiny(seed=seed, output=folder / f"s{seed}") for seed in range(3)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTERKIT_PACKAGE_CACHE", str(tmp_path / "package-cache"))
