"""Finding a backbone by name, with and without a network."""

from __future__ import annotations

import errno
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import RepositoryNotFoundError

from adapterkit.backbones import hub, sources
from adapterkit.backbones.loading import load_backbone
from adapterkit.runs.errors import UserError


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no sockets."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "create_connection", _refuse)
    return tmp_path / "hub"


def _refuse(*_: Any, **__: Any) -> None:
    raise ConnectionRefusedError


def message_of(source: str | Path) -> str:
    with pytest.raises(UserError) as caught:
        load_backbone(source)
    assert "Traceback" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("bundeld", "bundled"), ("Bundled", "bundled"), ("minialbert-128", "nlpie/miniALBERT-128")],
)
def test_unknown_names_suggest_the_nearest(name: str, meant: str) -> None:
    assert f"did you mean {meant!r}?" in message_of(name)


def test_a_folder_misspelt(saved: Path) -> None:
    wrong = saved.parent / "bakbone"
    assert f"did you mean {str(saved)!r}?" in message_of(str(wrong))
    assert f"did you mean {str(saved)!r}?" in message_of(wrong)


def test_a_file_is_no_backbone(saved: Path) -> None:
    assert f"name the folder: {saved}" in message_of(saved / "model.safetensors")


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "config.json" in message_of(tmp_path)


def test_relative_and_home_paths(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved.parent)
    monkeypatch.setenv("HOME", str(saved.parent))
    for source in ("backbone", "./backbone", "~/backbone", Path("backbone")):
        assert load_backbone(source).id == str(saved)


def test_offline_is_said_at_once(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    started = time.monotonic()
    message = message_of("nlpie/bio-miniALBERT-128")
    assert time.monotonic() - started < 1
    assert "HF_HUB_OFFLINE" in message
    assert "adapterkit backbones import nlpie/bio-miniALBERT-128 DIR" in message


def test_no_network_is_said_soon(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    started = time.monotonic()
    message = message_of("nlpie/miniALBERT-182")
    assert time.monotonic() - started < hub.CONNECT_SECONDS + 1
    assert "cannot be reached" in message
    assert "did you mean 'nlpie/miniALBERT-128'?" in message


def test_the_cache_serves_without_a_network(
    hub_cache: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repository = hub_cache / "models--someone--small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    saved.rename(repository / "snapshots" / ("0" * 40))
    backbone = load_backbone("someone/small")
    assert backbone.id == "someone/small"
    assert backbone.steps == 4


def test_fetching_asks_for_plain_files_and_a_pickle_last(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def download(repository: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(saved)

    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr(hub, "_offline", lambda: False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert sources.locate("someone/small").path == saved
    assert len(asked) == 1
    assert "model.safetensors" in asked[0]
    (saved / "model.safetensors").rename(saved / "elsewhere")
    sources.locate("someone/small")
    assert "pytorch_model.bin" in asked[2]
    assert not any(pattern.endswith((".py", "*")) for pattern in asked[2] if "/" not in pattern)


def test_a_repository_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        import requests

        raise RepositoryNotFoundError("404", response=requests.Response())

    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr(hub, "_offline", lambda: False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert "no such repository" in message_of("nlpie/miniALBERT-129")


def test_bundled_missing_from_the_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sources, "bundled_folder", lambda: tmp_path / "bundled")
    assert "lacks the bundled backbone" in message_of("bundled")


def test_a_full_disk_is_not_blamed_on_the_tokenizer(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterkit.backbones import tokenizer

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tokenizer, "write_json", full)
    assert "no space left" in message_of(saved)
