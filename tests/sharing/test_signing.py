"""Signed, unsigned and wrongly signed packages are told apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapterkit.runs.errors import UserError
from adapterkit.sharing.archive import unpack_archive, write_archive
from adapterkit.sharing.cache import PackageCache
from adapterkit.sharing.names import Reference
from adapterkit.sharing.signing import check_signature, sign_package
from adapterkit.sharing.store import Store
from adapterkit.sharing.verifying import verify_package

from .test_hostile import reseal


def write_key(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private


@pytest.fixture
def signed(package: Path, tmp_path: Path) -> Path:
    """A copy of a package, signed with ``mine.pem`` beside it."""
    shutil.copytree(package, tmp_path / "package")
    sign_package(tmp_path / "package", write_key(tmp_path, "mine"))
    return tmp_path / "package"


def test_three_kinds(package: Path, signed: Path, tmp_path: Path) -> None:
    key = tmp_path / "mine.pub.pem"
    assert check_signature(package) == "unsigned"
    assert check_signature(signed) == "signed"
    assert check_signature(signed, key) == "verified"
    with pytest.raises(UserError, match="not signed"):
        check_signature(package, key)
    write_key(tmp_path, "other")
    with pytest.raises(UserError, match="wrongly signed"):
        check_signature(signed, tmp_path / "other.pub.pem")


def test_a_signed_package_is_in_order(signed: Path) -> None:
    verify_package(signed)


def test_it_travels_with_the_package(signed: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.push(signed)
    store.fetch(Reference("bc5cdr@tiny"), tmp_path / "fetched")
    assert check_signature(tmp_path / "fetched", tmp_path / "mine.pub.pem") == "verified"
    write_archive(signed, tmp_path / "package.zip")
    unpack_archive(tmp_path / "package.zip", tmp_path / "unpacked")
    assert check_signature(tmp_path / "unpacked", tmp_path / "mine.pub.pem") == "verified"


def test_what_is_wrongly_signed_is_neither_kept_nor_found(
    package: Path, signed: Path, tmp_path: Path
) -> None:
    store, cache = Store(tmp_path / "store"), PackageCache(tmp_path / "cache")
    store.push(package)
    with pytest.raises(UserError, match="not signed"):
        cache.pull(Reference("bc5cdr@tiny"), store, tmp_path / "mine.pub.pem")
    with pytest.raises(UserError, match="not pulled yet"):
        cache.find(Reference("bc5cdr@tiny"))
    store.push(signed)
    path, _ = cache.pull(Reference("bc5cdr@tiny"), store, tmp_path / "mine.pub.pem")
    assert cache.find(Reference("bc5cdr@tiny")) == path


@pytest.mark.parametrize("name", ["adapterkit.json", "README.md", "plan.json"])
def test_whoever_seals_it_anew_cannot_sign_it(name: str, signed: Path, tmp_path: Path) -> None:
    """A checksum can be made anew by anybody, a signature cannot."""
    text = (signed / name).read_text(encoding="utf-8")
    (signed / name).write_text(text.replace("\n", "\n\n", 1), encoding="utf-8")
    reseal(signed)
    with pytest.raises(UserError, match="wrongly signed"):
        check_signature(signed, tmp_path / "mine.pub.pem")


def test_a_file_that_was_added(signed: Path, tmp_path: Path) -> None:
    (signed / "side.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="wrongly signed"):
        check_signature(signed, tmp_path / "mine.pub.pem")


@pytest.mark.parametrize("content", [b"", b"{}", b"no JSON", b"[1]", b'{"dsseEnvelope": 3}'])
def test_a_damaged_signature(content: bytes, signed: Path, tmp_path: Path) -> None:
    (signed / "model.sig").write_bytes(content)
    with pytest.raises(UserError, match="wrongly signed"):
        check_signature(signed, tmp_path / "mine.pub.pem")


def test_no_key(signed: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no key")
    for key in (tmp_path / "bad.pem", tmp_path / "none.pem"):
        with pytest.raises(UserError, match="key cannot be"):
            check_signature(signed, key)
        with pytest.raises(UserError, match="key cannot be"):
            sign_package(signed, key)


def test_signing_again_replaces_the_signature(signed: Path, tmp_path: Path) -> None:
    sign_package(signed, write_key(tmp_path, "other"))
    assert check_signature(signed, tmp_path / "other.pub.pem") == "verified"
