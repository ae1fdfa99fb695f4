"""The optional first stage of a distillation: the teacher learns, with checkpoints of its own."""

from __future__ import annotations

import math
import time
from typing import Any

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.interruption import StopRequest
from adapterkit.runs.progress import Progress
from adapterkit.students.checkpoints import read_newest, write_checkpoint
from adapterkit.students.folder import interrupted
from adapterkit.students.inputs import Inputs
from adapterkit.students.teacher import Teacher
from adapterkit.students.teacher_training import (
    MaskedLmSettings,
    TeacherState,
    held_out_loss,
    train_teacher,
)

FOLDER = "teacher"
"""Where in the folder of checkpoints those of the teacher lie."""

_LOG_UPDATES = 20


def trained_teacher(
    inputs: Inputs, directory: RunDirectory, progress: Progress, request: StopRequest
) -> tuple[Teacher, dict[str, Any]]:
    """The teacher, after its own training where the recipe asks for that.

    Goes on from the newest checkpoint there is; from the last one nothing is left to train.

    Returns:
        The teacher, and for the card its held-out masked-LM perplexity.

    Raises:
        Interrupted: A stop was asked for, and a checkpoint is written.
        UserError: The GPU's memory does not suffice, or the training diverged.
    """
    settings = _settings(inputs)
    if settings is None:
        return inputs.teacher, {}
    folder = directory.checkpoints_path / FOLDER
    resume = read_newest(folder)
    stage = _Stage(inputs, settings, directory, progress, request)
    stage.start(resume["tokens"] if resume else 0)
    teacher = train_teacher(
        inputs.teacher,
        inputs.corpus,
        settings,
        inputs.accelerator,
        resume=resume,
        after_update=stage.after_update,
    )
    loss = held_out_loss(teacher, inputs.corpus, settings)
    return teacher, {} if math.isnan(loss) else {"perplexity": round(math.exp(loss), 3)}


class _Stage:
    """Reports, saves and stops after updates of the teacher."""

    def __init__(
        self,
        inputs: Inputs,
        settings: MaskedLmSettings,
        directory: RunDirectory,
        progress: Progress,
        request: StopRequest,
    ) -> None:
        self._accelerator, self._settings = inputs.accelerator, settings
        self._directory, self._progress, self._request = directory, progress, request
        self._interval = inputs.recipe.training.checkpoint_minutes * 60
        self._tokens, self._saved = 0, time.monotonic()

    def start(self, tokens: int) -> None:
        """Begin the phase, where a resumed run left it."""
        self._tokens = tokens
        self._progress.begin("training the teacher", self._settings.tokens)
        self._progress.advance(min(tokens, self._settings.tokens))

    def after_update(self, state: TeacherState) -> None:
        """Tell how it goes; save where that is due."""
        finished = state.tokens >= self._settings.tokens
        measures = {}
        if finished or state.update % _LOG_UPDATES == 0:
            measures["loss"] = float(state.loss)
            record = {"stage": "teacher", "update": state.update, "tokens": state.tokens}
            if self._accelerator.is_main_process:
                self._directory.append_log({**record, **measures})
        self._progress.advance(state.tokens - self._tokens, **measures)
        self._tokens = state.tokens
        stops = self._stops()
        if finished or stops or time.monotonic() - self._saved > self._interval:
            self._save(state)
        if stops and not finished:
            raise interrupted(self._directory.path)

    def _stops(self) -> bool:
        if self._accelerator.num_processes == 1:
            return self._request.asked
        import torch

        asked = torch.tensor(int(self._request.asked), device=self._accelerator.device)
        return bool(self._accelerator.reduce(asked).item())

    def _save(self, state: TeacherState) -> None:
        if self._accelerator.is_main_process:
            folder = self._directory.checkpoints_path / FOLDER
            write_checkpoint(folder, state.update, state.snapshot())
        self._saved = time.monotonic()


def _settings(inputs: Inputs) -> MaskedLmSettings | None:
    asked, training = inputs.recipe.teacher_training, inputs.recipe.training
    if asked is None:
        return None
    return MaskedLmSettings(
        tokens=asked.tokens,
        learning_rate=asked.learning_rate,
        batch_tokens=asked.batch_tokens,
        masking=inputs.recipe.corpus.masking,
        warmup=training.warmup,
        weight_decay=training.weight_decay,
        seed=training.seed,
    )
