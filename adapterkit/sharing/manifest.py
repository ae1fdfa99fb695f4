"""``adapterkit.json``: what a package is, and the sum of every file in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapterkit.backbones.safety import read_json
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.atomic import write_json
from adapterkit.runs.errors import UserError
from adapterkit.runs.sealing import digest
from adapterkit.sharing.layout import ADAPTER_CONFIG_FILE, MANIFEST_FILE
from adapterkit.tasks.config import TaskConfig

SCHEMA: Final = "adapterkit.package.v1"
_DIGEST: Final = r"^[0-9a-f]{64}$"
_FINGERPRINT: Final = r"^sha256:[0-9a-f]{64}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, strict=True)


class Backbone(_Part):
    """The backbone that a package belongs to.

    Attributes:
        id: ``"bundled"``, a hub id, or the name of a folder on the machine it was trained on.
        fingerprint: Of its weights and configuration.
        tokenizer: Fingerprint of its tokenizer.
        steps: Its recursion steps.
    """

    id: str
    fingerprint: str = Field(pattern=_FINGERPRINT)
    tokenizer: str = Field(pattern=_FINGERPRINT)
    steps: int = Field(ge=1)


class Split(_Part):
    """A split as it was read: SHA-256 of its file, number of examples."""

    sha256: str
    examples: int = Field(ge=0)


class Data(_Part):
    """Where the data came from, without where they lay."""

    source: Literal["dir", "env", "cache", "hub", "sample", "unknown"]
    splits: dict[str, Split]


class Ledger(_Part):
    """Parameters of each kind, and bytes shipped; see `adapterkit.plans.ledger`."""

    backbone: int = Field(ge=0)
    layerwise: int = Field(ge=0)
    task: int = Field(ge=0)
    head: int = Field(ge=0)
    trainable: int = Field(ge=0)
    shipped_bytes: int = Field(ge=0)


class Seed(_Part):
    """One run.

    Attributes:
        seed: Its seed.
        run: Digest of its ``run.json``; none of a run that was not sealed.
        scores: The score of every split.
    """

    seed: int
    run: str | None
    scores: dict[str, float]


class Score(_Part):
    """A score over seeds; `sd` has the divisor n - 1, and is none of a single one."""

    mean: float
    sd: float | None
    n: int = Field(ge=1)


class Origin(_Part):
    """How the weights came about.

    Attributes:
        kind: ``run``: those of one run; ``average``: the mean of several runs or packages;
            ``arithmetic``: a weighted sum of them; ``splice``: steps of one and steps of another;
            ``peft``: read from PEFT's format, with the SHA-256 of its tensors as parent;
            ``fusion``: those of one run, and the frozen adapters that it fused, each a parent with
            the SHA-256 of its plan and tensors; ``stack``: those of one run, and the frozen
            adapter that it stands on, told in the same way.
        seed: Of the run whose weights they are.
        parents: What they were made of, in order: a digest each.
        weights: The weight of each parent in a sum.
        steps: The steps that came from each parent of a splice.
    """

    kind: Literal["run", "average", "arithmetic", "splice", "peft", "fusion", "stack"]
    seed: int | None = None
    parents: tuple[str, ...] = Field(default=(), strict=False)
    weights: tuple[float, ...] = Field(default=(), strict=False)
    steps: tuple[str, ...] = Field(default=(), strict=False)


class Teacher(_Part):
    """What the run was taught by, beside its labels.

    Attributes:
        plan: Its plan in short form.
        sha256: Of its plan and tensors.
        backbone: Fingerprint of its backbone.
        score: Its own score on each split.
        weight: How much it counted beside the labels.
        temperature: What the logits of both were divided by.
    """

    plan: str
    sha256: str = Field(pattern=_DIGEST)
    backbone: str = Field(pattern=_FINGERPRINT)
    score: dict[str, float]
    weight: float = Field(ge=0)
    temperature: float = Field(gt=0)


class FileRecord(_Part):
    """A file of the package."""

    sha256: str = Field(pattern=_DIGEST)
    bytes: int = Field(ge=0)


class PackageManifest(_Part):
    """Everything ``adapterkit.json`` holds.

    Attributes:
        schema_: Format of the file.
        name: ``task@plan``.
        created: When it was packed, in UTC.
        task: The task.
        task_config: How the task was configured.
        labels: What the head's outputs stand for, in order.
        scheme: Tagging scheme of a NER task's labels.
        plan: The plan in short form.
        mechanisms: The mechanism of every recursion step.
        backbone: The backbone.
        data: What it was trained and scored on.
        protocol: How the scores were made.
        max_length: Word pieces a window.
        hyperparameters: As the run resolved them.
        metric: What the score is.
        seeds: The runs that were scored.
        scores: Their scores by split. Of the mean of several runs they are those of the runs, and
            of what was made of packages there are none.
        metrics: All measures by split, of the run whose weights these are.
        origin: How the weights came about.
        teacher: What taught the run, if anything did.
        ledger: Parameters and bytes.
        versions: Libraries of the run.
        licence: Of the package, as whoever packs it states it.
        data_licence: Of the data, as the task states it.
        files: Every other file.
        digest: SHA-256 of all this.
    """

    schema_: Literal["adapterkit.package.v1"] = Field(default=SCHEMA, alias="schema")
    name: str
    created: str
    task: str
    task_config: dict[str, Any]
    labels: tuple[str, ...] = Field(strict=False)
    scheme: str | None
    plan: str
    mechanisms: tuple[str, ...] = Field(strict=False)
    backbone: Backbone
    data: Data
    protocol: Literal["word", "nlpie"]
    max_length: int = Field(ge=1)
    hyperparameters: dict[str, Any]
    metric: str
    seeds: tuple[Seed, ...] = Field(strict=False)
    scores: dict[str, Score]
    metrics: dict[str, dict[str, Any]]
    origin: Origin
    teacher: Teacher | None = None
    ledger: Ledger
    versions: dict[str, str]
    licence: str
    data_licence: str
    files: dict[str, FileRecord]
    digest: str | None = Field(default=None, pattern=_DIGEST)

    @property
    def adapters(self) -> tuple[str, ...]:
        """The folders that hold adapters in AdapterHub's format."""
        suffix = f"/{ADAPTER_CONFIG_FILE}"
        return tuple(name.removesuffix(suffix) for name in self.files if name.endswith(suffix))

    @property
    def main_score(self) -> Score | None:
        """The score of test, or of another split; none of a package that was not scored."""
        return self.scores.get("test") or next(iter(self.scores.values()), None)

    def config(self) -> TaskConfig:
        """The task's configuration.

        Raises:
            ValidationError: It is none.
        """
        return TaskConfig.model_validate(self.task_config)

    def as_dict(self) -> dict[str, Any]:
        """As ``adapterkit.json`` spells it."""
        content = self.model_dump(mode="json", by_alias=True)
        # What nothing taught is spelled as it was before there were teachers.
        return {k: v for k, v in content.items() if v is not None or k != "teacher"}

    def sealed(self) -> PackageManifest:
        """The same with its digest."""
        return self.model_copy(update={"digest": digest(self.as_dict())})


def mechanisms_of(plan: StepPlan, steps: int) -> list[str]:
    """The mechanism of every recursion step, in short form."""
    return [str(choice) for choice in plan.resolve(steps)]


def write_manifest(manifest: PackageManifest, folder: Path) -> None:
    """Write ``adapterkit.json``.

    Raises:
        UserError: The disk is full or the path cannot be written.
    """
    write_json(folder / MANIFEST_FILE, manifest.as_dict())


def read_manifest(folder: Path) -> PackageManifest:
    """Read ``adapterkit.json``, and hold it to its digest.

    Raises:
        UserError: It is missing, damaged, changed, or of another schema.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise UserError(
            "There is no adapter package here.",
            where=str(path),
            found="no such file",
            allowed="a folder or archive that `adapterkit share pack` wrote",
        )
    content = read_json(path)
    if content.get("schema") != SCHEMA:
        raise UserError(
            "The package is of another format.",
            where=f"{path}: schema",
            found=str(content.get("schema", "no schema"))[:100],
            allowed=SCHEMA,
            hint="use the adapterkit version that packed it",
        )
    return _checked(content, path)


def _checked(content: dict[str, Any], path: Path) -> PackageManifest:
    try:
        # As JSON has it: a list for every tuple, no number where a text belongs, and no NaN.
        manifest = PackageManifest.model_validate_json(json.dumps(content, allow_nan=False))
        found = digest(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, ".".join(map(str, first["loc"]))[:200], first["msg"]) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "", str(error)[:200]) from error
    if manifest.digest != found:
        raise UserError(
            "The package's description was changed after it was packed.",
            where=f"{path}: digest",
            found=found,
            allowed=str(manifest.digest),
            hint="fetch or pack it again",
        )
    return manifest


def _damaged(path: Path, field: str, found: str) -> UserError:
    return UserError(
        "The package's description is damaged.",
        where=f"{path}: {field}" if field else str(path),
        found=found,
        allowed=f"a description of schema {SCHEMA}",
        hint="fetch or pack it again",
    )
