"""The main job: task, data, backbone and plan in, run directory out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapterkit.backbones.fusing import fused_updates
from adapterkit.backbones.prefix import steps_run
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.atomic import remove_leftovers
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.disk import disk_errors
from adapterkit.runs.errors import UserError
from adapterkit.runs.interruption import Interrupted, stop_requests
from adapterkit.runs.lock import hold
from adapterkit.runs.progress import Progress, Silence
from adapterkit.tasks.encoding import Protocol
from adapterkit.tuning.callbacks import Reporting, Saving
from adapterkit.tuning.checkpoints import Checkpoint, last_checkpoint
from adapterkit.tuning.evaluation import predict_split, score_split
from adapterkit.tuning.frozen_adapters import frozen_plan
from adapterkit.tuning.interruption import interrupted
from adapterkit.tuning.keeping import cache_seconds, keep_prefix
from adapterkit.tuning.new_run import check_fresh_run, new_directory, new_folder
from adapterkit.tuning.prepare import Prepared, prepare
from adapterkit.tuning.profiling import profiling
from adapterkit.tuning.request import PrefixCacheMode, Request, check_same
from adapterkit.tuning.results import batch_padding, drop_work, write_results
from adapterkit.tuning.resuming import check_inputs, inputs_before
from adapterkit.tuning.run import Run
from adapterkit.tuning.settings import Precision
from adapterkit.tuning.starting import adapted_folder
from adapterkit.tuning.teacher import teacher_folder
from adapterkit.tuning.trainer import PlanTrainer

CHECKPOINT_SECONDS = 120.0


def tune(
    task: str | Path,
    plan: StepPlan | str = "adapter",
    *,
    backbone: str | Path = "bundled",
    data: str | Path = "auto",
    seed: int = 0,
    output: str | Path | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    head_learning_rate: float | None = None,
    batch_tokens: int | None = None,
    patience: int | None = None,
    limit_train: int | None = None,
    limit_dev: int | None = None,
    precision: Precision = "float32",
    protocol: Protocol = "word",
    prefix_cache: PrefixCacheMode = "auto",
    start_from: str | Path | None = None,
    fuse: Sequence[str | Path] = (),
    stack: str | Path | None = None,
    teacher: str | Path | None = None,
    teacher_backbone: str | Path | None = None,
    teacher_weight: float = 1.0,
    temperature: float = 1.0,
    profile: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
    command: str = "adapterkit.tune(...)",
) -> Run:
    """Train what a plan chooses, score it, and leave a run directory.

    The epoch with the best dev score is kept; test is scored once, at the end.

    Args:
        task: Name of a task, or the path of its YAML file.
        plan: What learns at each recursion step.
        backbone: ``"bundled"``, a folder, or a hub id.
        data: ``"auto"``, ``"sample"``, ``"hub"``, or a folder.
        seed: Of everything random.
        output: The run directory; by default a new one under ``runs``.
        epochs: Passes over the training split.
        learning_rate: Peak rate of everything that learns; by default each mechanism's own.
        head_learning_rate: Peak rate of the head, whatever `learning_rate` is.
        batch_tokens: Word pieces a batch, padding included.
        patience: Stop after so many epochs without a better dev score.
        limit_train: Train on the first so many examples.
        limit_dev: Score the first so many dev examples, after each epoch and at the end.
        precision: ``"bf16"`` computes the matrix products of training in bfloat16, in the steps
            that learn; weights, frozen steps and scores stay float32.
        protocol: ``"word"``, or ``"nlpie"`` to reproduce its figures.
        prefix_cache: ``"off"`` runs the steps below the lowest that learns with every batch;
            ``"auto"`` once a text, where that is exact.
        start_from: A run directory or a package's folder with the same plan, whose weights are
            trained on instead of new ones. Its head is taken where the labels are the same.
        fuse: Run directories or packages' folders of one plan, whose adapters are frozen while
            a fusion of them learns. The plan is then worked out from theirs.
        stack: A run directory or a package's folder, whose adapter is frozen while another of
            its configuration learns on top of it. The plan is then worked out from its own.
        teacher: A run directory or a package's folder of the same task, on any backbone with the
            same tokenizer, whose logits are learned beside the labels.
        teacher_backbone: Where the teacher's backbone is, if not where the teacher says.
        teacher_weight: Of what the teacher says, beside the labels' cross-entropy.
        temperature: Divides the logits of both before they are compared.
        profile: Record where the time of some updates goes; changes nothing else.
        resume: Go on with the unfinished run in `output`.
        progress: Told how it goes.
        command: Kept in ``run.json``.

    Raises:
        UserError: If something asked for is wrong; nothing is left half-written.
        Interrupted: If the user stopped it; the run can be resumed.
    """
    fused = tuple(str(adapted_folder(source)) for source in fuse)
    below = None if stack is None else str(adapted_folder(stack))
    if plan == "adapter":
        plan = frozen_plan(fused, below) or plan
    request = Request(
        task=str(task),
        plan=str(StepPlan.parse(plan) if isinstance(plan, str) else plan),
        backbone=str(backbone),
        data=str(data),
        seed=seed,
        epochs=epochs,
        learning_rate=learning_rate,
        head_learning_rate=head_learning_rate,
        batch_tokens=batch_tokens,
        patience=patience,
        limit_train=limit_train,
        limit_dev=limit_dev,
        precision=precision,
        protocol=protocol,
        prefix_cache=prefix_cache,
        start_from=None if start_from is None else str(adapted_folder(start_from)),
        fuse=fused,
        stack=below,
        teacher=None if teacher is None else str(teacher_folder(teacher)),
        teacher_backbone=None if teacher_backbone is None else str(teacher_backbone),
        teacher_weight=teacher_weight,
        temperature=temperature,
    )
    how: dict[str, Any] = {"profile": profile, "progress": progress, "command": command}
    if resume:
        return resume_run(_required(output), request, **how)
    return start_run(request, output, **how)


def start_run(
    request: Request,
    output: str | Path | None = None,
    *,
    profile: bool = False,
    progress: Progress | None = None,
    command: str = "adapterkit.start_run(...)",
) -> Run:
    """Start a new run; see `tune`."""
    directory = new_directory(request, output)
    progress = progress or Silence()
    prepared = prepare(request, progress)
    with new_folder(directory.path), hold(directory.path):
        check_fresh_run(directory)
        remove_leftovers(directory.path)
        directory.save_state({"request": request.as_dict(), "inputs": prepared.inputs})
        return _train_and_score(prepared, directory, progress, command, profile, resume=False)


def resume_run(
    output: str | Path,
    request: Request | None = None,
    *,
    profile: bool = False,
    progress: Progress | None = None,
    command: str = "adapterkit.resume_run(...)",
) -> Run:
    """Go on with a stopped run; it ends as if it had never been stopped.

    Args:
        output: Its directory.
        request: What the user asks for now, if more than the directory; must be the same.
        profile: See `tune`.
        progress: Told how it goes.
        command: Kept in ``run.json``.

    Raises:
        UserError: If there is nothing to resume, or options, data, backbone or files changed.
    """
    directory = RunDirectory(Path(output))
    progress = progress or Silence()
    if directory.is_finished:
        progress.say(f"{directory.path} is finished already")
        if profile:
            progress.say("no profile: there is nothing left to train")
        if directory.state_path.exists():
            with hold(directory.path):
                drop_work(directory)
        return Run.load(directory.path)
    state = directory.load_state()
    started = Request.from_dict(state.get("request", {}))
    if request is not None:
        check_same(request, started)
    with hold(directory.path):
        remove_leftovers(directory.path)
        prepared = prepare(started, progress)
        check_inputs(prepared, inputs_before(state))
        return _train_and_score(prepared, directory, progress, command, profile, resume=True)


def _train_and_score(
    prepared: Prepared,
    directory: RunDirectory,
    progress: Progress,
    command: str,
    profile: bool,
    resume: bool,
) -> Run:
    try:
        with disk_errors(directory.path):
            prepared = keep_prefix(prepared, directory, progress)
            train_seconds, padding = _train(prepared, directory, progress, profile, resume)
            started = time.monotonic()
            predictions, metrics = {}, {}
            for name in ("dev", "test"):
                split = prepared.splits[name]
                progress.begin(f"scoring {name}", len(split.encoded.windows))
                predictions[name] = predict_split(prepared.applied.model, split, progress)
                metrics[name] = score_split(split, predictions[name])
            timings = {
                "train_seconds": round(train_seconds, 3),
                "evaluate_seconds": round(time.monotonic() - started, 3),
                "cache_seconds": cache_seconds(directory),
            }
            manifest = write_results(
                directory, prepared, predictions, metrics, timings, command, padding
            )
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        raise interrupted(directory.path) from error
    return Run(directory.path, manifest)


def _train(
    prepared: Prepared, directory: RunDirectory, progress: Progress, profile: bool, resume: bool
) -> tuple[float, float]:
    """Train to the end; seconds over all sessions of the run, and the share of padding."""
    with stop_requests() as request:
        saving = Saving(directory, request, CHECKPOINT_SECONDS)
        trainer = PlanTrainer(
            prepared.applied,
            prepared.splits["train"],
            prepared.splits["dev"],
            prepared.settings,
            prepared.request.seed,
            directory,
            Reporting(directory, progress),
            saving,
        )
        checkpoint = last_checkpoint(directory.checkpoints_path) if resume else None
        saving.start(0.0 if checkpoint is None else _seconds_before(directory))
        padding = batch_padding(prepared, list(trainer.batches))
        directory.append_log({"padding": padding, **_beginning(checkpoint)})
        kept = prepared.splits["train"].states is not None
        watch = profiling(trainer, directory, progress) if profile else contextlib.nullcontext()
        with fused_updates(steps_run(prepared.applied.model, kept)), watch:
            trainer.go_on(checkpoint)
        if request.asked:
            raise interrupted(directory.path)
    return saving.seconds, padding


def _beginning(checkpoint: Checkpoint | None) -> dict[str, Any]:
    if checkpoint is None:
        return {"event": "start"}
    return {"event": "resume", "update": checkpoint.update}


def _seconds_before(directory: RunDirectory) -> float:
    spent = [record.get("train_seconds", 0.0) for record in directory.read_log()]
    return float(max(spent, default=0.0))


def _required(output: str | Path | None) -> str | Path:
    if output is None:
        raise UserError(
            "it is not said which run to resume",
            where="--resume",
            hint="give its directory with --output",
        )
    return output
