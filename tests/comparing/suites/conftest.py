"""A tiny backbone, and a corpus that it can learn."""

from pathlib import Path

import pytest

from tests.tuning.conftest import make_backbone, write_corpus


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone of three steps without layer-wise adapters."""
    return make_backbone(tmp_path_factory.mktemp("backbones") / "tiny", layerwise=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with bc5cdr's files, made up."""
    return write_corpus(tmp_path / "corpora" / "bc5cdr")


@pytest.fixture
def suite(tmp_path: Path, backbone: Path, corpus: Path):
    """Write a suite on that corpus and backbone; returns its file."""

    def write(plans: str = "[head]", more: str = "") -> Path:
        file = tmp_path / "tiny.yaml"
        file.write_text(
            f"tasks: [bc5cdr]\nplans: {plans}\nseeds: 1\ndata: {corpus.parent}\n"
            f"backbones: ['{backbone}']\n{more}",
            encoding="utf-8",
        )
        return file

    return write
