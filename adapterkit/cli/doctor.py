"""``adapterkit doctor``: what is installed, what can be found, what may be written."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from adapterkit.cli import options, output
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.tasks.config import TaskConfig

_COMFORTABLE_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        topic: What was looked at.
        status: ``ok``, ``note`` (optional and absent), ``warning`` or ``problem``.
        detail: What was found, and what to do about it.
    """

    topic: str
    status: Literal["ok", "note", "warning", "problem"]
    detail: str


def doctor(json: options.Json = False) -> None:
    """Look at the installation: versions, model, data, caches. Needs no network.

    The exit status is 1 if adapterkit cannot work as it is.
    """
    with output.clear_stdout(json):
        findings = [finding for check in _CHECKS for finding in check()]
    if json:
        output.print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        output.print_table(("", "what", "found"), [(f.status, f.topic, f.detail) for f in findings])
    if any(finding.status == "problem" for finding in findings):
        raise typer.Exit(1)


def _libraries() -> Iterator[Finding]:
    from adapterkit.runs.environment import versions

    found = versions()
    for name, version in found.items():
        yield Finding(name, "ok", version)
    for name in ("torch", "transformers", "adapters"):
        if name not in found:
            yield Finding(name, "problem", "not installed; install adapterkit again")


def _kernels_package() -> Iterator[Finding]:
    if importlib.util.find_spec("kernels") is None:
        yield Finding("kernels package", "ok", "not installed, as it should be")
        return
    yield Finding(
        "kernels package",
        "warning",
        "installed: with transformers 4.57 a model's config.json may then load foreign code "
        "(CVE-2026-4372); remove it with `pip uninstall kernels`",
    )


def _processor() -> Iterator[Finding]:
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = torch.get_num_threads()
    wish = os.environ.get("OMP_NUM_THREADS")
    told = f" (OMP_NUM_THREADS={wish})" if wish else ""
    yield Finding("threads", "ok", f"{threads} for {usable} usable cores{told}")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    yield Finding("GPU", "ok" if gpu else "note", gpu or "none; the processor is used")


def _backbone() -> Iterator[Finding]:
    from adapterkit.backbones.loading import load_backbone

    try:
        backbone = load_backbone("bundled")
    except UserError as error:
        yield Finding("bundled backbone", "problem", error.problem)
        return
    yield Finding(
        "bundled backbone", "ok", f"{backbone.steps} steps, {backbone.fingerprint[:19]}..."
    )


def _task_data() -> Iterator[Finding]:
    from adapterkit.tasks.locating import has_sample
    from adapterkit.tasks.registry import load_task, task_names
    from adapterkit.tasks.sources import load_data

    given = os.environ.get("ADAPTERKIT_DATA")
    yield Finding("ADAPTERKIT_DATA", "ok" if given else "note", given or "not set")
    # Views of a corpus have its files and its sample.
    for task in (task for name in task_names() if not (task := load_task(name)).corpus):
        if has_sample(task):
            sample = load_data(task, "sample")
            counts = ", ".join(f"{split} {len(rows)}" for split, rows in sample.splits.items())
            yield Finding(f"sample of {task.name}", "ok", counts)
        yield _corpus(task, given)


def _corpus(task: TaskConfig, root: str | None) -> Finding:
    from adapterkit.tasks.locating import cache_folder, has_sample

    name = task.name

    places = [Path(root, name)] if root else []
    places.append(cache_folder() / name)
    found = next((place for place in places if place.is_dir()), None)
    if found:
        return Finding(f"corpus {name}", "ok", str(found))
    looked = " or ".join(map(str, places))
    others = " or ".join(["the hub"] * bool(task.hub) + ["the sample"] * has_sample(task))
    outcome = f"{others} will be used" if others else "give its folder with --data"
    return Finding(f"corpus {name}", "note", f"not in {looked}; {outcome}")


def _places() -> Iterator[Finding]:
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE

    from adapterkit.runs.atomic import ensure_writable
    from adapterkit.tasks.locating import cache_folder

    places = {
        "working folder": Path.cwd(),
        "adapterkit cache": cache_folder(),
        "Hugging Face cache": Path(HF_HUB_CACHE),
    }
    for topic, path in places.items():
        try:
            ensure_writable(path)
        except UserError as error:
            yield Finding(topic, "warning", f"{path}: {error.problem}")
            continue
        free = shutil.disk_usage(_existing(path)).free
        status: Literal["ok", "warning"] = "ok" if free >= _COMFORTABLE_BYTES else "warning"
        yield Finding(topic, status, f"{path} (writable, {output.human_bytes(free)} free)")
    yield Finding("network", "note", "forbidden (HF_HUB_OFFLINE)" if HF_HUB_OFFLINE else "allowed")


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _libraries,
    _kernels_package,
    _processor,
    _backbone,
    _task_data,
    _places,
)
