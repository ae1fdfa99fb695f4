"""A teacher: what a run or a package learned for a task, which another run is to learn as well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapterkit.backbones.loading import Backbone
from adapterkit.backbones.safety import read_json
from adapterkit.backbones.trained_on import TrainedOn, load_trained_on
from adapterkit.plans.loading import load_adapted
from adapterkit.plans.manifest import PLAN_FILE
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.tasks.config import TaskConfig

PACKAGE_FILE = "adapterkit.json"
"""What describes a package, as ``run.json`` describes a run."""
_OPTION = "--teacher"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Backbone(_Part):
    id: str
    fingerprint: str


class _File(_Part):
    sha256: str


class _Measures(_Part):
    score: float


class _Mean(_Part):
    mean: float


class Stated(_Part):
    """What ``run.json`` and ``adapterkit.json`` both say.

    Attributes:
        task_config: The task as it was configured.
        labels: What the head's outputs stand for, in order.
        plan: The plan in short form.
        protocol: How scores were made.
        backbone: The backbone.
        metrics: Measures of each split; of the mean of several runs there are none.
        scores: Their mean over seeds; packages alone have them.
        files: The checksum of every file.
    """

    task_config: TaskConfig
    labels: tuple[str, ...]
    plan: str
    protocol: str = "word"
    backbone: _Backbone
    metrics: dict[str, _Measures] = Field(default_factory=dict)
    scores: dict[str, _Mean] = Field(default_factory=dict)
    files: dict[str, _File] | None = None

    @property
    def score(self) -> dict[str, float]:
        """The score of each split: of the weights themselves or, of a mean, over its runs."""
        own = {split: measures.score for split, measures in self.metrics.items()}
        return own or {split: score.mean for split, score in self.scores.items()}


@dataclass(frozen=True)
class Teacher:
    """A run or package that can teach.

    Attributes:
        folder: The run directory, or the package.
        adapted: The folder of its adapted model.
        stated: What it says of itself.
    """

    folder: Path
    adapted: Path
    stated: Stated


def teacher_folder(source: str | Path) -> Path:
    """The folder of a run or package that is to teach.

    Raises:
        UserError: It is neither.
    """
    path = Path(source)
    _adapted_of(path)
    return path


def read_teacher(source: str | Path) -> Teacher:
    """Read what a run or package says of itself, and hold its files to their checksums.

    Raises:
        UserError: It is neither, or damaged or changed.
    """
    folder = Path(source)
    adapted = _adapted_of(folder)
    path = folder / PACKAGE_FILE if adapted == folder else RunDirectory(folder).manifest_path
    try:
        stated = Stated.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            "The teacher's description is damaged.",
            where=f"{path}: {'.'.join(map(str, first['loc']))}",
            found=first["msg"],
            hint="restore the file, or make the teacher again",
        ) from error
    for file in sorted(file for file in adapted.rglob("*") if file.is_file()):
        record = (stated.files or {}).get(file.relative_to(folder).as_posix())
        if record is not None and record.sha256 != sha256_file(file):
            raise UserError(
                "The teacher is not as it was written.",
                where=str(file),
                found="another sha256 than its description's",
                hint="restore the file, or make the teacher again",
            )
    return Teacher(folder, adapted, stated)


def check_teacher(teacher: Teacher, task: TaskConfig, protocol: str) -> None:
    """Check that a teacher learned the same task, read and scored in the same way.

    Args:
        teacher: The teacher.
        task: The task that is to be learned.
        protocol: How it will be scored. Pieces within words have no logits worth learning where
            the teacher was not trained on them.

    Raises:
        UserError: It did not.
    """
    theirs = teacher.stated.task_config
    for what, found, allowed in (
        ("another task", theirs.name, task.name),
        ("a task of another kind", theirs.kind, task.kind),
        ("other labels", ", ".join(teacher.stated.labels), ", ".join(task.output_names)),
        ("another protocol", teacher.stated.protocol, protocol),
    ):
        if found != allowed:
            raise UserError(
                f"The teacher learned {what}.",
                where=f"{_OPTION} {teacher.folder}",
                found=found,
                allowed=allowed,
                hint="tune a teacher for this task, or leave the option out",
            )


def load_teacher(teacher: Teacher, backbone: str | None) -> Backbone:
    """Load a teacher's backbone, with what it learned and its head active.

    Args:
        teacher: The teacher.
        backbone: Where its backbone lies, if not where the teacher says.

    Raises:
        UserError: Its backbone is gone or another one, or it is damaged or has no head.
    """
    stated, where = teacher.stated, f"{_OPTION} {teacher.folder}"
    id_, fingerprint = stated.backbone.id, stated.backbone.fingerprint
    described = TrainedOn("teacher", where, id_, fingerprint, "--teacher-backbone")
    loaded = load_trained_on(described, backbone)
    head = load_adapted(loaded.model, teacher.adapted).head
    numbers = loaded.model.heads[head].config.get("label2id") if head is not None else None
    outputs = tuple(sorted(numbers or {}, key=(numbers or {}).__getitem__))
    if outputs != stated.labels:
        raise UserError(
            "The teacher's head contradicts its description.",
            where=where,
            found=", ".join(outputs) or "no head",
            allowed=", ".join(stated.labels),
            hint="make the teacher again",
        )
    loaded.model.active_head = head
    loaded.model.eval()
    return loaded


def _adapted_of(folder: Path) -> Path:
    """The adapted model of a run or package; of a run it lies in a folder of its own."""
    run = RunDirectory(folder)
    if run.manifest_path.is_file() and (run.adapter_path / PLAN_FILE).is_file():
        return run.adapter_path
    if (folder / PACKAGE_FILE).is_file() and (folder / PLAN_FILE).is_file():
        return folder
    raise UserError(
        "There is no teacher here.",
        where=f"{_OPTION} {folder}",
        found=f"no {PLAN_FILE} beside a run.json or {PACKAGE_FILE}",
        allowed="a finished run directory, or a package",
    )
