"""Runs in a process of their own that are killed, by the kernel, where or when a test says."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 120.0

# Forked from a server that has imported everything and trained nothing.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["torch", "evaluate", "adapterkit.tuning.tune"])


def kill_inside(
    function: str, call: int | str, options: dict[str, Any], seconds: float = 0.0
) -> None:
    """Run `options` until `function` (``module:name``) is called, and kill it there.

    What `torch.save` was going to write is left half-written.

    Args:
        function: What must be called.
        call: How often, or the name of a file among its arguments.
        options: Of the run.
        seconds: Between checkpoints within an epoch.
    """
    process = _PROCESSES.Process(target=_run, args=(options, seconds, (function, call)))
    process.start()
    process.join(SECONDS)
    assert process.exitcode == -signal.SIGKILL, f"it ended by itself: {process.exitcode}"


def kill_after(checkpoints: int, seconds: float, options: dict[str, Any]) -> bool:
    """Kill a run `seconds` after it has saved some checkpoints; False where it had ended."""
    log = Path(options["output"]) / "log.jsonl"
    before = _saved(log)
    process = _PROCESSES.Process(target=_run, args=(options, 0.0, None))
    process.start()
    deadline = time.monotonic() + SECONDS
    while process.is_alive() and _saved(log) - before < checkpoints:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def _saved(log: Path) -> int:
    return log.read_bytes().count(b"train_seconds") if log.exists() else 0


def _run(options: dict[str, Any], seconds: float, kill: tuple[str, int | str] | None) -> None:
    import torch

    from adapterkit.tuning import tune

    torch.set_num_threads(1)
    tune.CHECKPOINT_SECONDS = seconds
    if kill is not None:
        _arm(*kill)
    output = options["output"]
    if (Path(output) / "state.json").exists():
        tune.resume_run(output)
    else:
        tune.tune(**options)


def _arm(function: str, call: int | str) -> None:
    module_name, _, name = function.partition(":")
    module = importlib.import_module(module_name)
    original: Callable[..., Any] = getattr(module, name)
    calls = 0

    def armed(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        names = [Path(path).name for path in args if isinstance(path, (str, Path))]
        if calls != call and call not in names:
            return original(*args, **kwargs)
        if function == "torch:save":
            # Every other writer is atomic and never has its target open.
            Path(args[1]).write_bytes(b"PK\x03\x04")
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, armed)


def hold_directory(folder: str, ready: Any, done: Any) -> None:
    """Hold a directory until told to let go."""
    from adapterkit.runs.lock import hold

    with hold(Path(folder)):
        ready.set()
        done.wait(SECONDS)


def holder(folder: Path) -> tuple[Any, Any]:
    """A process that holds `folder`, and the event that makes it let go."""
    ready, done = _PROCESSES.Event(), _PROCESSES.Event()
    process = _PROCESSES.Process(target=hold_directory, args=(str(folder), ready, done))
    process.start()
    assert ready.wait(SECONDS)
    return process, done
