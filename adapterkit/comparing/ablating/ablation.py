"""What an ablation found, and the file that keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapterkit.runs.atomic import write_json
from adapterkit.runs.errors import UserError

ABLATION_FILE = "ablation.json"
SCHEMA: Literal["adapterkit.ablation.v1"] = "adapterkit.ablation.v1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Score(_Part):
    """A score, and the F1 of each type or class."""

    score: float
    per_type: dict[str, float]


class RunId(_Part):
    """Which run.

    Attributes:
        path: Its directory.
        sha256: Of its ``run.json``.
        plan: What learned at each step.
        seed: Its seed.
    """

    path: str
    sha256: str
    plan: str
    seed: int


class StepScore(_Part):
    """A run without what learned at one step.

    Attributes:
        step: The recursion step.
        mechanism: What adapts it.
        removed: What becomes of it, in words.
        result: How the run does then; None where nothing learned at the step.
    """

    step: int
    mechanism: str
    removed: str
    result: Score | None


class Swap(_Part):
    """Two runs mixed.

    Attributes:
        other: The run above.
        results: For each k from 0 to the number of steps, how the mixture does of which steps below
            k are those of the ablated run and the others those of `other`.
    """

    other: RunId
    results: tuple[Score, ...]


class Ablation(_Part):
    """What is left of a run's score without one step, or with steps of another run.

    Attributes:
        schema_: Format of the file.
        run: The ablated run.
        task: Its task.
        split: The split that was scored.
        protocol: How it was scored.
        metric: Name of the score.
        data: Where the split came from, its SHA-256, and whether it is the run's own.
        whole: How the run does with all its steps.
        steps: Each step removed.
        swap: The run mixed with another, if that was asked for.
        notes: What a reader of the scores must know.
    """

    schema_: Literal["adapterkit.ablation.v1"] = Field(default=SCHEMA, alias="schema")
    run: RunId
    task: str
    split: str
    protocol: str
    metric: str
    data: dict[str, Any]
    whole: Score
    steps: tuple[StepScore, ...]
    swap: Swap | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)


def save_ablation(ablation: Ablation, path: str | Path) -> None:
    """Write an ablation to a file in one step.

    Raises:
        UserError: The disk is full or the path cannot be written.
    """
    write_json(path, ablation.as_dict())


def read_ablation(path: str | Path) -> Ablation:
    """Read what `save_ablation` wrote.

    Raises:
        UserError: The file is missing, damaged or of another format.
    """
    try:
        return Ablation.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise UserError(
            "The ablation cannot be read.", where=str(path), found=error.strerror or str(error)
        ) from error
    except ValidationError as error:
        raise UserError(
            "The ablation is damaged or of another format.",
            where=str(path),
            found=error.errors()[0]["msg"],
            allowed=SCHEMA,
            hint="run `adapterkit ablate` again",
        ) from error
