"""A folder of packages: what it keeps, and what many writers, some of them killed, do to it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.runs.sealing import digest
from adapterkit.sharing.cache import PackageCache
from adapterkit.sharing.index import read_index
from adapterkit.sharing.names import Reference
from adapterkit.sharing.store import Store

PUSHER = Path(__file__).with_name("pusher.py")


def variant(package: Path, folder: Path, **changes: object) -> Path:
    """A copy of a package with other values in its description, sealed anew."""
    shutil.copytree(package, folder)
    content = json.loads((folder / "adapterkit.json").read_text(encoding="utf-8")) | changes
    content["digest"] = digest(content)
    (folder / "adapterkit.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def same(one: Path, other: Path) -> bool:
    names = {p.relative_to(one) for p in one.rglob("*") if p.is_file()}
    if names != {p.relative_to(other) for p in other.rglob("*") if p.is_file()}:
        return False
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


@pytest.fixture
def store(package: Path, tmp_path: Path) -> Store:
    """Two versions of one package; the first is called ``stable``."""
    store = Store(tmp_path / "store")
    store.push(package, ("stable",))
    store.push(variant(package, tmp_path / "second", created="2030-01-01T00:00:00+00:00"))
    return store


class TestVersions:
    @pytest.mark.parametrize(
        ("tag", "version"),
        [("v1", "v1"), ("v2", "v2"), ("latest", "v2"), ("stable", "v1")],
    )
    def test_a_tag_finds_its_version(
        self, tag: str, version: str, store: Store, tmp_path: Path
    ) -> None:
        found = store.fetch(Reference("bc5cdr@tiny", tag), tmp_path / "fetched")
        assert found.version == version

    def test_a_digest_finds_its_bytes(self, store: Store, package: Path, tmp_path: Path) -> None:
        digest = store.entries()[0].digest
        store.fetch(Reference("bc5cdr@tiny", f"sha256:{digest}"), tmp_path / "fetched")
        assert same(tmp_path / "fetched", package)

    def test_the_same_package_is_not_added_twice(self, store: Store, package: Path) -> None:
        assert store.push(package).version == "v1"
        assert [entry.version for entry in store.entries()] == ["v1", "v2"]

    def test_an_alias_moves(self, store: Store, tmp_path: Path) -> None:
        store.push(tmp_path / "second", ("stable",))
        assert [entry.aliases for entry in store.entries()] == [(), ("stable",)]

    @pytest.mark.parametrize("alias", ["latest", "v3", "", "a b", "\u0430", "../x"])
    def test_a_bad_alias_is_refused(self, alias: str, store: Store, package: Path) -> None:
        with pytest.raises(UserError, match="no alias"):
            store.push(package, (alias,))

    @pytest.mark.parametrize(
        ("reference", "problem"),
        [("bc5cdr@tinny", "no such package"), ("bc5cdr@tiny:v9", "no such version")],
    )
    def test_what_is_not_there(
        self, reference: str, problem: str, store: Store, tmp_path: Path
    ) -> None:
        with pytest.raises(UserError, match=problem) as caught:
            store.fetch(Reference.parse(reference), tmp_path / "fetched")
        assert "tiny" in str(caught.value) or "v2" in str(caught.value)
        assert not (tmp_path / "fetched").exists()


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such store"):
        Store(tmp_path / "none").entries()


def test_a_damaged_package_is_not_pushed(package: Path, tmp_path: Path) -> None:
    shutil.copytree(package, tmp_path / "package")
    (tmp_path / "package" / "README.md").write_text("other")
    with pytest.raises(UserError, match="changed"):
        Store(tmp_path / "store").push(tmp_path / "package")
    assert not (tmp_path / "store" / "index.json").exists()


def test_a_changed_archive_is_not_fetched(store: Store, tmp_path: Path) -> None:
    archive = store.folder / "archives" / f"{store.entries()[1].digest}.zip"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match="changed after it was pushed"):
        store.fetch(Reference("bc5cdr@tiny"), tmp_path / "fetched")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": "other"}', '{"packages": 3}'])
def test_a_damaged_index_is_told(text: str, store: Store) -> None:
    (store.folder / "index.json").write_text(text)
    with pytest.raises(UserError, match="index of the store is damaged"):
        store.entries()


class TestPulling:
    def test_it_is_found_again_without_the_store(
        self, store: Store, package: Path, tmp_path: Path
    ) -> None:
        cache = PackageCache(tmp_path / "cache")
        path, _ = cache.pull(Reference("bc5cdr@tiny", "stable"), store)
        shutil.rmtree(store.folder)
        assert cache.find(Reference("bc5cdr@tiny", "stable")) == path
        assert cache.find(Reference("bc5cdr@tiny", "v1")) == path
        assert same(path, package)

    def test_a_version_stays_what_it_was(self, store: Store, package: Path, tmp_path: Path) -> None:
        cache = PackageCache(tmp_path / "cache")
        cache.pull(Reference("bc5cdr@tiny", "v1"), store)
        shutil.rmtree(store.folder)
        store.push(variant(package, tmp_path / "third", created="2031-01-01T00:00:00+00:00"))
        with pytest.raises(UserError, match="not the one that was pulled before"):
            cache.pull(Reference("bc5cdr@tiny", "v1"), store)

    def test_an_alias_may_move(self, store: Store, tmp_path: Path) -> None:
        cache = PackageCache(tmp_path / "cache")
        first, _ = cache.pull(Reference("bc5cdr@tiny", "stable"), store)
        store.push(tmp_path / "second", ("stable",))
        second, _ = cache.pull(Reference("bc5cdr@tiny", "stable"), store)
        assert first != second
        assert cache.find(Reference("bc5cdr@tiny", "stable")) == second

    def test_what_was_never_pulled(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="not pulled yet") as caught:
            PackageCache(tmp_path / "cache").find(Reference("bc5cdr@tiny"))
        assert "share pull bc5cdr@tiny --from" in str(caught.value)

    def test_two_places_that_differ(self, store: Store, package: Path, tmp_path: Path) -> None:
        cache, other = PackageCache(tmp_path / "cache"), Store(tmp_path / "other")
        other.push(variant(package, tmp_path / "third", created="2031-01-01T00:00:00+00:00"))
        one, _ = cache.pull(Reference("bc5cdr@tiny"), store)
        two, _ = cache.pull(Reference("bc5cdr@tiny"), other)
        with pytest.raises(UserError, match="several places"):
            cache.find(Reference("bc5cdr@tiny"))
        assert cache.find(Reference("bc5cdr@tiny"), store.id) == one
        assert cache.find(Reference("bc5cdr@tiny"), other.id) == two


def start(package: Path, store: Path, prefix: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, PUSHER, package, store, prefix, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def push_side_by_side(package: Path, folder: Path, count: int, kills: int) -> None:
    """Two writers, one of which is killed again and again while the index is read."""
    rng = random.Random(0)
    steady, unlucky = start(package, folder, "steady", count), start(package, folder, "x", count)
    said: set[str] = set()
    for _ in range(kills):
        assert unlucky.stdout is not None
        # Once it is at work, at any moment of it.
        said |= {line.strip() for line in [unlucky.stdout.readline()] if line}
        time.sleep(rng.random() * 0.05)
        unlucky.kill()
        said |= set(unlucky.communicate()[0].split())
        # What a writer said was pushed is there, whatever happened to it next.
        assert said <= set(read_index(folder).packages)
        unlucky = start(package, folder, "x", count)
    assert unlucky.communicate()[0] is not None
    steady.communicate()
    assert unlucky.returncode == steady.returncode == 0


def check_whole(package: Path, folder: Path, count: int, tmp_path: Path) -> None:
    entries = Store(folder).entries()
    assert {e.name for e in entries} == {f"{p}@n{n}" for p in ("steady", "x") for n in range(count)}
    assert {entry.version for entry in entries} == {"v1"}
    for entry in entries:
        assert sha256_file(folder / "archives" / f"{entry.digest}.zip") == entry.digest
    found = Store(folder).fetch(Reference(entries[-1].name), tmp_path / "fetched")
    assert found.manifest.name == entries[-1].name


def test_two_writers_lose_nothing(package: Path, tmp_path: Path) -> None:
    push_side_by_side(package, tmp_path / "store", 8, kills=2)
    check_whole(package, tmp_path / "store", 8, tmp_path)


@pytest.mark.slow
def test_two_writers_of_two_hundred_packages_lose_nothing(package: Path, tmp_path: Path) -> None:
    push_side_by_side(package, tmp_path / "store", 200, kills=30)
    check_whole(package, tmp_path / "store", 200, tmp_path)
