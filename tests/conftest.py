"""What every test gets: no network, a home of its own, and the corpora where there are any.

- Sockets reach no other machine, except in tests marked ``hub``.
- ``HOME`` and the caches are empty temporary folders, and ``ADAPTERKIT_DATA`` is not set.
- torch has one thread, in tests and what they start: sums in another number of threads differ in
  their last bits, and tests run side by side.
- Nothing waits until the disk has what was written: tests end with their machine.
- A test that asks for ``corpora`` gets the folder that ``ADAPTERKIT_DATA`` named, and has it set.
  Without one it is skipped; where ``CI`` is set it fails, so that no pipeline passes untested.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# A job in the background is started with Ctrl-C ignored, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)

_CORPORA = os.environ.get("ADAPTERKIT_DATA")
_CACHE = Path(tempfile.mkdtemp(prefix="adapterkit-tests-"))

# Libraries read these once, when they are imported.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_EVALUATE_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
    HF_HOME=str(_CACHE / "huggingface"),
)


class NetworkBlockedError(OSError):
    """A test tried to reach another machine."""


def pytest_unconfigure() -> None:
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(autouse=True)
def _isolation(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.delenv("ADAPTERKIT_DATA", raising=False)
    if request.node.get_closest_marker("hub"):
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        return
    monkeypatch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))


@pytest.fixture(scope="session", autouse=True)
def _fast_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # It still refuses what is no open file.
        patch.setattr(os, "fsync", lambda descriptor: os.fstat(descriptor) and None)
        yield


@pytest.fixture
def corpora(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the real corpora, one folder a task."""
    folder = Path(_CORPORA) if _CORPORA else None
    if folder and folder.is_dir():
        monkeypatch.setenv("ADAPTERKIT_DATA", str(folder))
        return folder
    reason = f"ADAPTERKIT_DATA names no folder with the corpora (it is {_CORPORA!r})"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            raise NetworkBlockedError(f"tests have no network: {address}")
        return connect(self, address)

    return guarded


def _guarded_lookup(lookup: Any) -> Any:
    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host and not _is_local(host):
            raise NetworkBlockedError(f"tests have no network: {host}")
        return lookup(host, *args, **kwargs)

    return guarded


def _is_local(host: str | bytes) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
