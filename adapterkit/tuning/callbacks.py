"""What the training loop tells, and when it saves and stops."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.interruption import StopRequest
from adapterkit.runs.progress import Progress
from adapterkit.tuning.interruption import interrupted


class Reporting(TrainerCallback):  # type: ignore[misc]
    """Writes ``log.jsonl`` and moves the progress bar."""

    def __init__(self, directory: RunDirectory, progress: Progress) -> None:
        self._directory, self._progress = directory, progress
        self._measures: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin the phase, where a resumed run left it."""
        self._progress.begin("training", state.max_steps)
        self._progress.advance(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Advance by one update."""
        self._progress.advance(1, **self._measures)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the record; say the dev score."""
        record = {k: v for k, v in (logs or {}).items() if isinstance(v, (int, float))}
        self._directory.append_log({"update": state.global_step, **record})
        if "loss" in record:
            self._measures["loss"] = record["loss"]
        if "eval_score" in record:
            self._measures["dev"] = record["eval_score"]
            epoch = round(state.epoch or 0)
            self._progress.say(f"epoch {epoch}: dev score {record['eval_score']:.4f}")


class Saving(TrainerCallback):  # type: ignore[misc]
    """Saves every few minutes, and saves and stops when asked to.

    Args:
        directory: The run.
        request: Whether a stop was asked for.
        seconds: Training time after which a checkpoint is due.
    """

    def __init__(self, directory: RunDirectory, request: StopRequest, seconds: float) -> None:
        self._directory, self._request, self._interval = directory, request, seconds
        self._last = self._started = time.monotonic()

    def start(self, seconds_before: float) -> None:
        """Start the clock of a run that trained for `seconds_before` already."""
        self._last = time.monotonic()
        self._started = self._last - seconds_before

    @property
    def seconds(self) -> float:
        """Training time so far, over all sessions of the run."""
        return time.monotonic() - self._started

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask for a checkpoint where one is due.

        The last update of an epoch is saved after the dev score, never before it: a run resumed
        from there would miss the score.
        """
        updates_an_epoch = state.max_steps // int(args.num_train_epochs)
        due = self._request.asked or time.monotonic() - self._last > self._interval
        if due and state.global_step % updates_an_epoch:
            control.should_save = True
        return control

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count from this checkpoint, and stop if that was asked for.

        Raises:
            Interrupted: A stop was asked for, and the checkpoint is written.
        """
        self._last = time.monotonic()
        self._directory.append_log(
            {"update": state.global_step, "train_seconds": round(self.seconds, 3)}
        )
        if self._request.asked and state.global_step < state.max_steps:
            # Not by should_training_stop: Trainer would score and save an epoch cut short.
            raise interrupted(self._directory.path)
