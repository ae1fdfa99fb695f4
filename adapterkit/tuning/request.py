"""What a run was asked to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from adapterkit.runs.errors import UserError
from adapterkit.tasks.encoding import Protocol
from adapterkit.tuning.settings import Precision

PrefixCacheMode = Literal["auto", "off"]

_KEYWORDS = ("auto", "bundled", "hub", "sample")


@dataclass(frozen=True)
class Request:
    """The arguments of a run, as the user gave them.

    Attributes:
        task: Name of a task, or the path of its YAML file.
        plan: The plan in short form.
        backbone: What `load_backbone` takes.
        data: What `load_data` takes.
        seed: Of everything random.
        epochs: Or ``None`` for the default; likewise the next four.
        learning_rate: Peak rate for everything that learns.
        head_learning_rate: Peak rate for the head, in place of that.
        batch_tokens: Word pieces a batch, padding included.
        patience: Epochs without a better dev score after which training stops.
        limit_train: Train on the first so many examples.
        limit_dev: Score the first so many dev examples.
        precision: Of the matrix products in the steps that learn, while they are trained.
        protocol: How NER is scored.
        prefix_cache: Whether the states of the frozen prefix are kept; see `prefix`.
        start_from: Folder of an adapted model whose weights the run starts from.
        fuse: Folders of adapted models whose adapters are frozen and fused.
        stack: Folder of an adapted model whose adapter is frozen and stacked on.
        teacher: Folder of a run or package whose logits are learned beside the labels.
        teacher_backbone: Where the teacher's backbone is, if not where the teacher says.
        teacher_weight: Of what the teacher says, beside the labels.
        temperature: Divides the logits of both before they are compared.
    """

    task: str
    plan: str
    backbone: str = "bundled"
    data: str = "auto"
    seed: int = 0
    epochs: int | None = None
    learning_rate: float | None = None
    head_learning_rate: float | None = None
    batch_tokens: int | None = None
    patience: int | None = None
    limit_train: int | None = None
    limit_dev: int | None = None
    precision: Precision = "float32"
    protocol: Protocol = "word"
    prefix_cache: PrefixCacheMode = "auto"
    start_from: str | None = None
    fuse: tuple[str, ...] = ()
    stack: str | None = None
    teacher: str | None = None
    teacher_backbone: str | None = None
    teacher_weight: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Make paths absolute, so that the run can be resumed from any folder."""
        if self.task.endswith((".yaml", ".yml")):
            object.__setattr__(self, "task", str(Path(self.task).expanduser().absolute()))
        for name in ("backbone", "data"):
            object.__setattr__(self, name, _absolute(getattr(self, name)))
        if self.teacher_backbone is not None:
            object.__setattr__(self, "teacher_backbone", _absolute(self.teacher_backbone))
        for name in ("start_from", "stack", "teacher"):
            if (folder := getattr(self, name)) is not None:
                object.__setattr__(self, name, str(Path(folder).absolute()))
        fused = tuple(str(Path(folder).absolute()) for folder in self.fuse)
        object.__setattr__(self, "fuse", fused)

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, for ``state.json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """Read what `as_dict` wrote, in this version or in one that had fewer options.

        Raises:
            UserError: If a field is unknown, or one is missing that has no default.
        """
        known = {field.name for field in fields(cls)}
        required = {field.name for field in fields(cls) if field.default is MISSING}
        names = set(values) if isinstance(values, Mapping) else set()
        if wrong := (names - known) | (required - names):
            raise UserError(
                "the state of the run is damaged, or of another version",
                where="state.json: request",
                found=", ".join(sorted(wrong)),
                hint="start the run anew in another directory",
            )
        return cls(**values)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Folders of the adapted models whose adapters stay frozen while others learn on them."""
        return self.fuse if self.stack is None else (*self.fuse, self.stack)

    @property
    def folder_name(self) -> str:
        """A name for the run's folder: task, plan and seed."""
        stem = re.sub(r"[^A-Za-z0-9]+", "-", f"{_stem(self.task)} {self.plan}").strip("-")
        return f"{stem[:80].rstrip('-')}-s{self.seed}"


def check_same(asked: Request, started: Request) -> None:
    """Check that a resumed run is asked for what it was started with.

    Raises:
        UserError: If an argument differs; says which, and what it was.
    """
    now, then = asked.as_dict(), started.as_dict()
    different = [name for name in now if now[name] != then[name]]
    if different:
        name = different[0]
        options = {"learning_rate": "lr", "head_learning_rate": "head-lr", "start_from": "from"}
        option = options.get(name, name.replace("_", "-"))
        raise UserError(
            "the run to resume was started with other options",
            where=f"--{option}",
            found=str(now[name]),
            allowed=str(then[name]),
            hint="leave the option out, or start a new run in another directory",
        )


def _absolute(source: str) -> str:
    path = Path(source).expanduser()
    return str(path.absolute()) if source not in _KEYWORDS and path.is_dir() else source


def _stem(task: str) -> str:
    return re.sub(r"\.ya?ml$", "", task.replace("\\", "/").rpartition("/")[2])
