"""A tiny backbone, a corpus that it can learn, and a Ray cluster."""

import os
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

    def write(plans: str = "[head]", more: str = "", seeds: int = 1) -> Path:
        file = tmp_path / "tiny.yaml"
        file.write_text(
            f"tasks: [bc5cdr]\nplans: {plans}\nseeds: {seeds}\ndata: {corpus.parent}\n"
            f"backbones: ['{backbone}']\n{more}",
            encoding="utf-8",
        )
        return file

    return write


@pytest.fixture(scope="session")
def cluster():
    """A local Ray cluster of two workers."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
    )
    yield
    ray.shutdown()
