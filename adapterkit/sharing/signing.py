"""Signatures of packages: OpenSSF Model Signing with a plain elliptic-curve key, offline.

A signature covers every file of a package, its description included. It needs the extra ``sign``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Literal

from adapterkit.runs.atomic import write_bytes
from adapterkit.runs.errors import UserError
from adapterkit.sharing.layout import SIGNATURE_FILE
from adapterkit.sharing.verifying import verify_package

Signed = Literal["unsigned", "signed", "verified"]


def sign_package(folder: str | Path, private_key: str | Path) -> Path:
    """Sign a package, in place of an earlier signature.

    Args:
        folder: The package, which is verified first.
        private_key: A PEM file with an elliptic-curve key (NIST P-256, P-384 or P-521).

    Returns:
        The file that holds the signature.

    Raises:
        UserError: The package is not in order, the key cannot be used, or the extra is missing.
    """
    path = Path(folder)
    verify_package(path)
    _check_key(private_key)
    signing, hashing = _library("signing"), _library("hashing")
    ignored = hashing.Config().set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / SIGNATURE_FILE
        try:
            config = signing.Config().use_elliptic_key_signer(private_key=Path(private_key))
            config.set_hashing_config(ignored).sign(path, made)
        except (ValueError, TypeError) as error:
            raise _bad_key(private_key, error) from error
        write_bytes(path / SIGNATURE_FILE, made.read_bytes())
    return path / SIGNATURE_FILE


def check_signature(folder: str | Path, public_key: str | Path | None = None) -> Signed:
    """Say whether a package is signed, and hold it to a key.

    Args:
        folder: The package, verified.
        public_key: A PEM file with the public half of the key that it must be signed with.

    Returns:
        ``"verified"`` with a key; without one ``"signed"`` says only that there is a signature.

    Raises:
        UserError: With a key: it is not signed, or with another key, or for other files.
    """
    path = Path(folder)
    signature = path / SIGNATURE_FILE
    if public_key is None:
        return "signed" if signature.is_file() else "unsigned"
    if not signature.is_file():
        raise UserError(
            "The package is not signed.",
            where=str(signature),
            found="no such file",
            allowed=f"a signature by the key {public_key}",
            hint="ask whoever packed it to sign it",
        )
    _check_key(public_key)
    verifying, hashing = _library("verifying"), _library("hashing")
    from cryptography.exceptions import InvalidSignature

    every_file = hashing.Config().set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=Path(public_key))
    except (ValueError, TypeError) as error:
        raise _bad_key(public_key, error) from error
    try:
        config.set_hashing_config(every_file).verify(path, signature)
    except (ValueError, TypeError, KeyError, InvalidSignature) as error:
        raise UserError(
            "The package is wrongly signed: not by this key, or not for these files.",
            where=str(signature),
            found=(str(error) or type(error).__name__).splitlines()[0][:200],
            allowed=f"a signature by the key {public_key}",
            hint="do not load it; fetch it again from whoever packed it",
        ) from error
    return "verified"


def _library(name: str) -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise UserError(
            "Signing needs a library that is not installed.",
            found="no model-signing",
            hint="pip install 'adapterkit[sign]'",
        ) from error
    return getattr(model_signing, name)


def _check_key(key: str | Path) -> None:
    if not os.access(key, os.R_OK) or not Path(key).is_file():
        raise UserError("The key cannot be read.", where=str(key), found="no such file")


def _bad_key(key: str | Path, error: Exception) -> UserError:
    return UserError(
        "The key cannot be used.",
        where=str(key),
        found=(str(error) or type(error).__name__).splitlines()[0][:200],
        allowed="a PEM file with an elliptic-curve key (P-256, P-384 or P-521), unencrypted",
        hint="openssl ecparam -name prime256v1 -genkey -noout -out key.pem; "
        "openssl ec -in key.pem -pubout -out key.pub.pem",
    )
