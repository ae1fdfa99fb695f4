"""The Hub, spoken to by huggingface_hub, played by a server on this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, file_download
from huggingface_hub.utils import reset_sessions

from adapterkit.runs.errors import UserError
from adapterkit.serving.predictor import load_adapter
from adapterkit.sharing.cache import PackageCache, user_package_cache
from adapterkit.sharing.hub_place import HubRepository
from adapterkit.sharing.names import Reference
from adapterkit.sharing.places import open_place

from .conftest import TEXTS
from .hub_server import Hub, serving
from .test_store import same, variant


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.endpoint)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setattr(constants, "ENDPOINT", found.endpoint)
        template = found.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        reset_sessions()
        yield found
    reset_sessions()


@pytest.fixture
def place(hub: Hub, package: Path) -> HubRepository:
    place = HubRepository("me/tiny")
    place.push(package, ("stable",))
    return place


def test_what_is_pushed_comes_back(place: HubRepository, package: Path, tmp_path: Path) -> None:
    stored = place.fetch(Reference("bc5cdr@tiny"), tmp_path / "fetched")
    assert stored.version == "v1"
    assert same(tmp_path / "fetched", package)


def test_large_files_go_their_own_way(place: HubRepository, hub: Hub, package: Path) -> None:
    tensors = {path.read_bytes() for path in package.rglob("*.safetensors")}
    assert tensors == set(hub.large.values())


def test_the_same_package_is_no_new_version(place: HubRepository, package: Path) -> None:
    assert place.push(package).version == "v1"
    assert [entry.version for entry in place.entries()] == ["v1"]


def test_a_new_version_leaves_the_old_one(
    place: HubRepository, package: Path, tmp_path: Path
) -> None:
    second = variant(package, tmp_path / "second", created="2030-01-01T00:00:00+00:00")
    assert place.push(second).version == "v2"
    assert [(e.version, e.aliases) for e in place.entries()] == [("v1", ("stable",)), ("v2", ())]
    place.fetch(Reference("bc5cdr@tiny", "v1"), tmp_path / "one")
    place.fetch(Reference("bc5cdr@tiny"), tmp_path / "two")
    assert same(tmp_path / "one", package)
    assert same(tmp_path / "two", second)


def test_it_is_pulled_and_used_without_the_hub(
    place: HubRepository, package: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_package_cache().pull(Reference("bc5cdr@tiny"), open_place("hub:me/tiny"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    found = load_adapter("bc5cdr@tiny", backbone=backbone).predict(TEXTS)
    assert found == load_adapter(package, backbone=backbone).predict(TEXTS)


def test_a_version_that_changed_at_the_hub_is_refused(
    place: HubRepository, hub: Hub, package: Path, tmp_path: Path
) -> None:
    cache = PackageCache(tmp_path / "cache")
    cache.pull(Reference("bc5cdr@tiny", "v1"), place)
    second = variant(package, tmp_path / "second", created="2030-01-01T00:00:00+00:00")
    place.push(second)
    repository = hub.repositories["me/tiny"]
    repository.tags["v1"] = repository.tags.pop("v2")
    with pytest.raises(UserError, match="not the one that was pulled before"):
        cache.pull(Reference("bc5cdr@tiny", "v1"), place)


def test_a_file_that_changed_at_the_hub_is_refused(
    place: HubRepository, hub: Hub, tmp_path: Path
) -> None:
    files = dict(hub.repositories["me/tiny"].commits[-1][1])
    hub.repositories["me/tiny"].add({**files, "README.md": b"better scores"})
    with pytest.raises(UserError, match="changed"):
        place.fetch(Reference("bc5cdr@tiny"), tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_code_at_the_hub_is_not_even_fetched(
    place: HubRepository, hub: Hub, package: Path, tmp_path: Path
) -> None:
    files = dict(hub.repositories["me/tiny"].commits[-1][1])
    hub.repositories["me/tiny"].add({**files, "modeling.py": b"import os", "a.bin": b"pickle"})
    place.fetch(Reference("bc5cdr@tiny"), tmp_path / "fetched")
    assert same(tmp_path / "fetched", package)
    assert not any("modeling" in request or "a.bin" in request for request in hub.requests)


def test_a_giant_at_the_hub_is_not_fetched(place: HubRepository, hub: Hub, tmp_path: Path) -> None:
    files = dict(hub.repositories["me/tiny"].commits[-1][1])
    hub.repositories["me/tiny"].add({**files, "README.md": b" " * (5 << 20)})
    before = len(hub.requests)
    with pytest.raises(UserError, match="too large"):
        place.fetch(Reference("bc5cdr@tiny"), tmp_path / "fetched")
    assert not any("resolve" in request for request in hub.requests[before:])


def test_another_package_needs_another_repository(
    place: HubRepository, package: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="keeps another package"):
        place.push(variant(package, tmp_path / "other", name="bc5cdr@other"))
    with pytest.raises(UserError, match="keeps another package"):
        place.fetch(Reference("bc5cdr@other"), tmp_path / "fetched")


@pytest.mark.parametrize("text", ["hub:", "hub:tiny", "hub:a/b/c", "hub:../x", "hub:m\u0435/tiny"])
def test_no_repository(text: str) -> None:
    with pytest.raises(UserError, match="no repository"):
        open_place(text)


def test_a_repository_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did not do") as caught:
        HubRepository("me/none").fetch(Reference("bc5cdr@tiny"), tmp_path / "fetched")
    assert "no such repository" in str(caught.value)


def test_a_repository_of_something_else(hub: Hub, package: Path, tmp_path: Path) -> None:
    place = HubRepository("me/tiny")
    place.push(package)
    hub.repositories["me/tiny"].add({"config.json": b"{}"})
    with pytest.raises(UserError, match="keeps no adapter package"):
        place.fetch(Reference("bc5cdr@tiny"), tmp_path / "fetched")


def test_a_version_that_is_not_there(place: HubRepository, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such version") as caught:
        place.fetch(Reference("bc5cdr@tiny", "v7"), tmp_path / "fetched")
    assert "stable" in str(caught.value)


def test_without_a_network_it_says_so_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(UserError, match="did not do") as caught:
        HubRepository("me/tiny").fetch(Reference("bc5cdr@tiny"), tmp_path / "fetched")
    assert "cannot be reached" in str(caught.value)
