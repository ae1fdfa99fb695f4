"""A profile of a few updates: a trace and a table of where the time of training goes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from adapterkit.runs.atomic import atomic_directory, write_json
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.progress import Progress
from adapterkit.tuning.profile_summary import ProfileSummary, summarise
from adapterkit.tuning.trainer import PlanTrainer

TRACE_FILE = "trace.json.gz"
SUMMARY_FILE = "summary.json"

_ACTIVE = 10
_WARM_UP = 3
_FEWEST = 1 + _WARM_UP + 1


@dataclass(frozen=True)
class Window:
    """Which updates are profiled.

    Attributes:
        wait: Updates of this session before the profiler warms up.
        first: The first one that is recorded, counted from 1 over all sessions.
        active: How many are recorded.
    """

    wait: int
    first: int
    active: int


def plan_window(done: int, epoch: int, total: int) -> Window | None:
    """Choose the updates to profile: in the middle of the first epoch that is long enough.

    All epochs do the same work, training may stop early, and between two of them the dev split is
    scored.

    Args:
        done: Updates of earlier sessions.
        epoch: Updates an epoch.
        total: Updates of all epochs.

    Returns:
        ``None`` if no epoch has enough updates left.
    """
    left = epoch - done % epoch
    begin = done
    if left < min(epoch, 1 + _WARM_UP + _ACTIVE) and done + left < total:
        begin, left = done + left, epoch
    if left < _FEWEST or begin >= total:
        return None
    active = min(_ACTIVE, left - _WARM_UP - 1)
    before = max(1 + _WARM_UP, (left - active) // 2)
    return Window(begin - done + before - _WARM_UP, begin + before + 1, active)


@contextlib.contextmanager
def profiling(trainer: PlanTrainer, directory: RunDirectory, progress: Progress) -> Iterator[None]:
    """Profile some of the updates that `trainer` makes inside the block.

    What was recorded is written into the run's directory as soon as it is complete, instead of what
    an earlier session left there. What is trained does not change.

    Args:
        trainer: Has not begun yet.
        directory: The run.
        progress: Told the table, or why there is none.
    """
    callback = _Profiling(trainer, directory, progress)
    trainer.add_callback(callback)
    try:
        yield
    finally:
        callback.stop()
    if not callback.said:
        progress.say("no profile: training ended before the updates that were to be profiled")


class _Profiling(TrainerCallback):  # type: ignore[misc]
    """Steps PyTorch's profiler from update to update."""

    def __init__(self, trainer: PlanTrainer, directory: RunDirectory, progress: Progress) -> None:
        self._batches, self._lengths = trainer.batches, trainer.windows.lengths
        self._directory, self._progress = directory, progress
        self._window: Window | None = None
        self._profiler: profile | None = None
        self.said = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Choose the updates, and start."""
        epoch = _updates_an_epoch(args, state)
        window = plan_window(state.global_step, epoch, state.max_steps)
        if window is None:
            self._say(
                f"no profile: of {state.max_steps} updates in epochs of {epoch}, "
                f"{state.max_steps - state.global_step} are left, and a profile needs {_FEWEST} "
                "of one epoch"
            )
            return
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        # It would announce itself on standard error; read when it starts for the first time.
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")
        self._window = window
        self._profiler = profile(
            activities=activities,
            schedule=schedule(wait=window.wait, warmup=_WARM_UP, active=window.active, repeat=1),
        )
        self._profiler.start()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on to the next update; after the last one, write what was recorded."""
        if self._profiler is None or self._window is None:
            return
        self._profiler.step()
        if state.global_step < self._window.first + self._window.active - 1:
            return
        recorded, self._profiler = self._profiler, None
        recorded.stop()
        first = self._window.first
        begin = (first - 1) % _updates_an_epoch(args, state)
        pieces = self._pieces(slice(begin, begin + self._window.active))
        events: Any = recorded.events()  # type: ignore[no-untyped-call]
        self._write(recorded, summarise(events, args.device.type, first, pieces))

    def stop(self) -> None:
        """Stop, and leave nothing of what was not completed."""
        if self._profiler is not None:
            self._profiler.stop()
            self._profiler = None

    def _pieces(self, of_epoch: slice) -> list[tuple[int, int]]:
        """Word pieces of some batches of this epoch, without and with padding."""
        chosen = list(self._batches)[of_epoch]
        lengths = [[self._lengths[index] for index in batch] for batch in chosen]
        return [(sum(batch), len(batch) * max(batch)) for batch in lengths]

    def _write(self, recorded: profile, summary: ProfileSummary) -> None:
        target = self._directory.profile_path
        shutil.rmtree(target, ignore_errors=True)
        with atomic_directory(target) as folder:
            recorded.export_chrome_trace(str(folder / TRACE_FILE))
            write_json(folder / SUMMARY_FILE, summary.as_dict())
        self._directory.append_log({"event": "profile", "update": summary.first_update})
        self._say("\n".join([*summary.lines(), f"  trace: {target / TRACE_FILE}"]))

    def _say(self, message: str) -> None:
        self._progress.say(message)
        self.said = True


def _updates_an_epoch(args: TrainingArguments, state: TrainerState) -> int:
    return int(state.max_steps) // int(args.num_train_epochs)
