"""Fetching a task's data files from the Hugging Face Hub, and never waiting for a dead network."""

from __future__ import annotations

import os
import queue
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import HubSource, Split, TaskConfig

_TRUE = {"1", "on", "yes", "true"}


def fetch(task: TaskConfig, splits: Sequence[Split]) -> dict[Split, Path]:
    """Return local copies of the hub files of these splits, downloading what is not cached.

    Raises:
        UserError: If the task names no files at the hub, or they cannot be had.
    """
    hub = task.hub
    if hub is None:
        raise UserError(
            f"task {task.name} names no dataset at the Hugging Face Hub",
            where="--data hub",
            hint="give a folder with --data DIR",
        )
    if missing := [split for split in splits if split not in hub.files]:
        raise UserError(
            f"the dataset at the hub has no split {missing[0]!r}",
            where=f"hub.files of task {task.name}",
            allowed=list(hub.files),
        )
    cached = {split: _cached(hub, hub.files[split]) for split in splits}
    wanted = [split for split, path in cached.items() if path is None]
    if wanted and is_offline():
        raise _unreachable(hub, "HF_HUB_OFFLINE is set and the files are not in the cache")
    if wanted and not is_reachable():
        raise _unreachable(hub, "the hub cannot be reached")
    return {split: path or _download(hub, hub.files[split]) for split, path in cached.items()}


def is_cached(task: TaskConfig, splits: Sequence[Split]) -> bool:
    """Whether the hub files of these splits lie in the local cache."""
    hub = task.hub
    if hub is None:
        return False
    return all(split in hub.files and _cached(hub, hub.files[split]) for split in splits)


def is_offline() -> bool:
    """Whether the environment forbids the network (``HF_HUB_OFFLINE``)."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE


def is_reachable(timeout: float = 2.0) -> bool:
    """Whether the hub, or the proxy before it, takes a connection within ``timeout`` seconds.

    Resolving names can block for longer than any socket time-out, so this runs in a thread that
    is left behind when time is up.
    """
    outcome: queue.Queue[bool] = queue.Queue()
    threading.Thread(target=lambda: outcome.put(_connects(timeout)), daemon=True).start()
    try:
        return outcome.get(timeout=timeout)
    except queue.Empty:
        return False


def _connects(timeout: float) -> bool:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    scheme = urllib.parse.urlsplit(endpoint).scheme
    proxy = urllib.request.getproxies().get(scheme)
    address = urllib.parse.urlsplit(proxy or endpoint)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=timeout):
            return True
    except OSError:
        return False


def _cached(hub: HubSource, file: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub.repository, file, revision=hub.revision, repo_type="dataset")
    return Path(found) if isinstance(found, str) else None


def _download(hub: HubSource, file: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        found = hf_hub_download(
            hub.repository, file, revision=hub.revision, repo_type="dataset", etag_timeout=5
        )
    except (OSError, HfHubHTTPError) as error:
        reason = str(error).strip().splitlines()
        raise _unreachable(hub, reason[0] if reason else type(error).__name__) from error
    return Path(found)


def _unreachable(hub: HubSource, reason: str) -> UserError:
    return UserError(
        "the data cannot be fetched from the Hugging Face Hub",
        where=f"datasets/{hub.repository}, revision {hub.revision}",
        found=reason,
        hint="give a folder with --data DIR, set ADAPTERKIT_DATA to the folder that holds one "
        "folder a task, or use --data sample",
    )
