"""Distillation: recipe in, backbone folder out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adapterkit.backbones.folder_layout import CARD_FILE
from adapterkit.backbones.saving import save_backbone
from adapterkit.runs.atomic import remove_leftovers
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.disk import disk_errors
from adapterkit.runs.interruption import Interrupted, stop_requests
from adapterkit.runs.lock import hold
from adapterkit.runs.progress import Progress, Silence
from adapterkit.students.card import make_card
from adapterkit.students.checkpoints import read_newest
from adapterkit.students.first_stage import trained_teacher
from adapterkit.students.folder import (
    check_same,
    drop_work,
    interrupted,
    is_finished,
    kept_once_begun,
    new_folder,
    publish,
)
from adapterkit.students.going_on import origin_of
from adapterkit.students.inputs import Inputs, open_inputs
from adapterkit.students.loop import Loop, memory_errors
from adapterkit.students.measuring import measure_throughput
from adapterkit.students.processes import is_first, of_first
from adapterkit.students.recipe import Recipe
from adapterkit.students.session import Session, begin
from adapterkit.students.state import LoopState


@dataclass(frozen=True)
class Distilled:
    """A backbone that was distilled.

    Attributes:
        path: Its folder.
        card: What its ``card.json`` says.
    """

    path: Path
    card: Mapping[str, Any]

    @property
    def stored_bytes(self) -> int:
        """Bytes of its weights on the disk."""
        return sum(file.stat().st_size for file in self.path.rglob("*.safetensors"))

    @classmethod
    def load(cls, path: Path) -> Distilled:
        """Read a finished one."""
        return cls(path, json.loads((path / CARD_FILE).read_text(encoding="utf-8")))


def distil(
    recipe: Recipe,
    output: Path | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> Distilled:
    """Distil a backbone.

    Args:
        recipe: What to make, from what; see `recipe_files.load_recipe`.
        output: Folder of the backbone; by default a new one under ``runs``. While it is made the
            folder holds ``state.json``, ``log.jsonl`` and ``checkpoints``; the log stays.
        progress: Told how it goes.
        command: What the user typed, for the card.

    Raises:
        UserError: The folder is taken, the recipe cannot be followed, or memory does not suffice.
        Interrupted: Ctrl-C or SIGTERM; `resume_distillation` goes on from there.
    """
    first = is_first()
    directory = RunDirectory(
        Path(of_first(str(new_folder(output, recipe.name).path) if first else None))
    )
    # Held before anything is loaded, so that two runs do not find one folder empty.
    with kept_once_begun(directory), hold(directory.path) if first else nullcontext():
        inputs = open_inputs(recipe, progress or Silence())
        if first:
            state = {"recipe": recipe.as_dict(), "inputs": inputs.identity, "command": command}
            directory.save_state(state)
        return _finish(inputs, directory, progress or Silence(), command)


def resume_distillation(
    output: Path,
    recipe: Recipe | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> Distilled:
    """Go on with a distillation that was stopped or killed, as if it had never been.

    Args:
        output: Its folder. A finished one is returned as it is.
        recipe: What it is asked for now; compared with what it was started with.
        progress: Told how it goes.
        command: Not recorded: the card names what the distillation was started with.

    Raises:
        UserError: There is nothing to resume, or recipe, corpus or teacher changed.
        Interrupted: As in `distil`.
    """
    directory, progress = RunDirectory(output), progress or Silence()
    first = is_first()
    if is_finished(directory):
        progress.say(f"{output} is finished already")
        if first and directory.state_path.exists():
            with hold(output):
                drop_work(directory)
        return Distilled.load(output)
    saved = directory.load_state()
    started = Recipe.model_validate(saved["recipe"])
    if recipe is not None:
        check_same("recipe", started.as_dict(), recipe.as_dict(), directory.state_path)
    with hold(output) if first else nullcontext():
        if first:
            remove_leftovers(output)
        inputs = open_inputs(started, progress)
        check_same("input", saved["inputs"], inputs.identity, output)
        return _finish(inputs, directory, progress, saved["command"] or command)


def _finish(inputs: Inputs, directory: RunDirectory, progress: Progress, command: str) -> Distilled:
    """Learn to the end, from the newest checkpoints there are, and write the backbone."""
    accelerator = inputs.accelerator
    try:
        with (
            disk_errors(directory.path),
            memory_errors(inputs.recipe.training.batch_tokens),
            stop_requests() as request,
        ):
            teacher, measures = trained_teacher(inputs, directory, progress, request)
            session = begin(inputs, teacher, progress)
            state = _restored(session, directory)
            Loop(session, state, directory, progress, request).run()
            if accelerator.is_main_process:
                progress.begin("writing the backbone")
                _write(session, state, directory, measures, command)
            accelerator.wait_for_everyone()
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        raise interrupted(directory.path) from error
    return Distilled.load(directory.path)


def _restored(session: Session, directory: RunDirectory) -> LoopState:
    """Bring the session to where it was when the newest checkpoint was written."""
    content = read_newest(directory.checkpoints_path)
    state = LoopState()
    if content is not None:
        session.restore(content)
        state = LoopState.from_dict(content["state"])
    if session.accelerator.is_main_process:
        directory.append_log({"event": "begin", "update": state.update})
    return state


def _write(
    session: Session,
    state: LoopState,
    directory: RunDirectory,
    teacher_measures: Mapping[str, Any],
    command: str,
) -> None:
    throughput = measure_throughput(session, state)
    student, identity = session.plain.student.cpu(), session.inputs.identity
    card = make_card(
        session.recipe,
        state,
        student,
        teacher={**identity["teacher"], **teacher_measures},
        corpus=[{"file": name, "sha256": sha} for name, sha in identity["corpus"].items()],
        measures={
            "layers": list(session.plain.layers),
            "embedding_variance_explained": session.explained,
            "throughput": throughput,
            **_origin(session.inputs),
        },
        command=command,
    )
    tokenizer = session.teacher.tokenizer

    def write(folder: Path) -> None:
        save_backbone(student, tokenizer, folder, card=card, dtype=torch.float16)

    publish(directory, write)


def _origin(inputs: Inputs) -> dict[str, Any]:
    return {} if inputs.backbone is None else {"went_on_from": origin_of(inputs.backbone)}
