"""Fetching a backbone's files from the Hugging Face Hub, or saying at once that it cannot be."""

from __future__ import annotations

import os
import socket
import threading
import urllib.parse
import urllib.request
from pathlib import Path

from adapterkit.backbones.folder_layout import CHECKPOINT_FILES, TOKENIZER_FILES
from adapterkit.runs.atomic import disk_errors
from adapterkit.runs.errors import UserError, nearest

PUBLISHED = (
    "nlpie/miniALBERT-128",
    "nlpie/bio-miniALBERT-128",
    "nlpie/clinical-miniALBERT-312",
    "nlpie/new-miniAlbert-128",
)
"""MiniALBERT checkpoints on the hub."""

CONNECT_SECONDS = 2.0
"""How long to wait for the hub to answer at all."""

_SAFE, _PICKLED = CHECKPOINT_FILES
_FILES = ("config.json", "card.json", "layerwise/*", *TOKENIZER_FILES)


def fetch(repository: str) -> Path:
    """The folder in the hub's cache that holds `repository`; downloaded if need be.

    Only plain files are fetched, and a pickle only where there is no safetensors file. Without a
    network the cache is used.

    Args:
        repository: ``owner/name``.

    Raises:
        UserError: The repository does not exist, is not cached and cannot be reached.
    """
    offline = _offline()
    if offline or not reachable():
        cached = _cached(repository)
        if cached is None:
            raise _unreachable(repository, offline)
        return cached
    return _download(repository)


def reachable() -> bool:
    """Whether the hub, or the proxy that leads there, accepts a connection in good time."""
    from huggingface_hub import constants

    endpoint = urllib.parse.urlsplit(constants.ENDPOINT)
    proxy = urllib.request.getproxies().get(endpoint.scheme)
    if proxy and not urllib.request.proxy_bypass(endpoint.hostname or ""):
        endpoint = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
    address = (endpoint.hostname or "", endpoint.port or (80 if endpoint.scheme == "http" else 443))
    ended = threading.Event()
    answers: list[bool] = []
    # A thread, because looking a name up has no time limit of its own.
    threading.Thread(target=_connect, args=(address, answers, ended), daemon=True).start()
    ended.wait(CONNECT_SECONDS)
    return bool(answers)


def _connect(address: tuple[str, int], answers: list[bool], ended: threading.Event) -> None:
    try:
        socket.create_connection(address, timeout=CONNECT_SECONDS).close()
        answers.append(True)
    except (OSError, UnicodeError):
        pass
    finally:
        ended.set()


def _offline() -> bool:
    from huggingface_hub import constants

    stated = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return stated or bool(constants.HF_HUB_OFFLINE)


def _cached(repository: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    complete = (path / "config.json").is_file() and any(
        (path / n).is_file() for n in CHECKPOINT_FILES
    )
    return path if complete else None


def _download(repository: str) -> Path:
    import requests
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        with disk_errors(repository):
            path = Path(snapshot_download(repository, allow_patterns=[*_FILES, _SAFE]))
            if not (path / _SAFE).is_file():
                path = Path(snapshot_download(repository, allow_patterns=[*_FILES, _PICKLED]))
    except (RepositoryNotFoundError, HFValidationError) as error:
        meant = nearest(repository, PUBLISHED)
        raise UserError(
            "There is no such folder, and no such repository on the Hugging Face Hub.",
            found=repository,
            allowed="'bundled', a folder, or a hub id (owner/name)",
            hint=f"did you mean {meant!r}?" if meant else None,
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, requests.RequestException) as error:
        cached = _cached(repository)
        if cached is None:
            raise _unreachable(repository, offline=False) from error
        return cached
    return path


def _unreachable(repository: str, offline: bool) -> UserError:
    reason = "HF_HUB_OFFLINE is set" if offline else "the Hugging Face Hub cannot be reached"
    meant = nearest(repository, PUBLISHED)
    wanted = meant or repository
    return UserError(
        "There is no such folder, and the hub cannot be asked for one.",
        found=f"{repository} ({reason}, and it is not in the cache)",
        allowed="'bundled', a folder, or a hub id (owner/name)",
        hint=(f"did you mean {meant!r}? " if meant and meant != repository else "")
        + f"where there is a network, run `adapterkit backbones import {wanted} DIR`, "
        "copy DIR here and name it",
    )
