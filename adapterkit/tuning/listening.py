"""From a request to what its teacher says of the training split."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from adapterkit.backbones.loading import Backbone
from adapterkit.backbones.tokenizer_fingerprint import tokenizer_fingerprint
from adapterkit.runs.errors import UserError
from adapterkit.runs.progress import Progress
from adapterkit.tasks.config import TaskConfig
from adapterkit.tuning.devices import move
from adapterkit.tuning.evaluation import EvaluationSplit, predict_logits
from adapterkit.tuning.request import Request
from adapterkit.tuning.settings import check_range
from adapterkit.tuning.starting import adapted_digest
from adapterkit.tuning.teacher import Teacher, check_teacher, load_teacher, read_teacher
from adapterkit.tuning.teaching import Teaching

_HIGHEST_WEIGHT = 1e6
_TEMPERATURES = (0.01, 100.0)


@dataclass(frozen=True)
class TeacherRecord:
    """Who taught a run, for ``run.json``.

    Attributes:
        source: Folder of the run or package.
        sha256: Of its plan and tensors.
        plan: Its plan in short form.
        backbone: ``id`` and ``fingerprint`` of its backbone.
        score: Its own score on each split, as it says.
        weight: Of what it says, beside the labels.
        temperature: Divides the logits of both.
        seconds: What its logits took to compute.
    """

    source: str
    sha256: str
    plan: str
    backbone: dict[str, str]
    score: dict[str, float]
    weight: float
    temperature: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def asked_teacher(request: Request, task: TaskConfig) -> Teacher | None:
    """The teacher that a run is to have, as far as its files tell that it fits the task.

    Raises:
        UserError: It does not, is damaged, or options are of a teacher and there is none.
    """
    check_range("--teacher-weight", request.teacher_weight, 0.0, _HIGHEST_WEIGHT)
    check_range("--temperature", request.temperature, *_TEMPERATURES)
    if request.teacher is None:
        for option, value, default in (
            ("--teacher-weight", request.teacher_weight, 1.0),
            ("--temperature", request.temperature, 1.0),
            ("--teacher-backbone", request.teacher_backbone, None),
        ):
            if value != default:
                raise UserError(
                    "There is no teacher for that.",
                    where=option,
                    found=str(value),
                    hint="name a run or package with --teacher, or leave the option out",
                )
        return None
    teacher = read_teacher(request.teacher)
    check_teacher(teacher, task, request.protocol)
    return teacher


def listen(
    teacher: Teacher,
    request: Request,
    student: Backbone,
    train: EvaluationSplit,
    progress: Progress,
) -> tuple[Teaching, TeacherRecord]:
    """Load a teacher and let it read the training split, once.

    Args:
        teacher: The teacher.
        request: Says how much it counts.
        student: The backbone of the run.
        train: Its training split.
        progress: Told how it goes.

    Raises:
        UserError: The teacher is damaged, its backbone is gone or changed, or it cannot read what
            the student reads.
    """
    progress.begin("loading the teacher")
    loaded = load_teacher(teacher, request.teacher_backbone)
    _check_readable(teacher, loaded, student, train)
    move(loaded.model)
    progress.begin("asking the teacher", len(train.encoded.windows))
    started = time.monotonic()
    logits = predict_logits(loaded.model, train, progress)
    record = TeacherRecord(
        source=str(teacher.folder),
        sha256=adapted_digest(teacher.adapted),
        plan=teacher.stated.plan,
        backbone={"id": loaded.id, "fingerprint": loaded.fingerprint},
        score=teacher.stated.score,
        weight=request.teacher_weight,
        temperature=request.temperature,
        seconds=round(time.monotonic() - started, 3),
    )
    return Teaching(logits, request.teacher_weight, request.temperature), record


def _check_readable(
    teacher: Teacher, loaded: Backbone, student: Backbone, train: EvaluationSplit
) -> None:
    found, allowed = (
        tokenizer_fingerprint(loaded.tokenizer),
        tokenizer_fingerprint(student.tokenizer),
    )
    where = f"--teacher {teacher.folder}"
    if found != allowed:
        raise UserError(
            "The teacher cuts text into other word pieces than the backbone that is tuned.",
            where=where,
            found=f"{loaded.id} with the tokenizer {found}",
            allowed=f"{allowed}, as {student.id} has it",
            hint="tune a teacher whose backbone has that tokenizer",
        )
    longest = max(len(window.input_ids) for window in train.encoded.windows)
    room = loaded.model.config.max_position_embeddings
    if longest > room:
        raise UserError(
            "The teacher cannot read texts as long as the training split has.",
            where=where,
            found=f"{longest} word pieces",
            allowed=f"{room} at most",
            hint="take another teacher, or set max_length in the task file",
        )
