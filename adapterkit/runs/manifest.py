"""``run.json``: what a run was asked, what it used, and what came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapterkit.runs.atomic import write_json
from adapterkit.runs.errors import UserError

SCHEMA: Final = "adapterkit.run.v1"
MANIFEST_NAME = "run.json"
_SEAL: Final = ("files", "digest")


class _Part(BaseModel):
    # Fields may be added without a new schema, so older readers keep what they do not know.
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class SplitRecord(_Part):
    """One split as it was read: SHA-256 of its files, number of examples."""

    sha256: str
    examples: int = Field(ge=0)


class DataRecord(_Part):
    """Where the data came from; ``unknown`` is that of a package made from another format."""

    source: Literal["dir", "env", "cache", "hub", "sample", "unknown"]
    location: str
    splits: dict[str, SplitRecord]


class BackboneRecord(_Part):
    """The backbone that was adapted."""

    id: str
    fingerprint: str


class LedgerRecord(_Part):
    """Parameters, each counted once, and the bytes that are shipped."""

    backbone: int = Field(ge=0)
    layerwise: int = Field(ge=0)
    task: int = Field(ge=0)
    head: int = Field(ge=0)
    trainable: int = Field(ge=0)
    shipped_bytes: int = Field(ge=0)


class Timings(_Part):
    """Wall-clock seconds."""

    train_seconds: float = Field(ge=0)
    evaluate_seconds: float = Field(ge=0)
    cache_seconds: float = Field(ge=0)


class Memory(_Part):
    """Peak resident memory of the process, in bytes."""

    peak_bytes: int = Field(ge=0)


class FileRecord(_Part):
    """A file of the run as it was written."""

    sha256: str
    bytes: int = Field(ge=0)


class RunManifest(_Part):
    """Everything ``run.json`` holds.

    ``metrics`` maps a split to its measures; every split has ``score``, the one number a task
    is selected and compared by. A finished run has the splits ``dev`` and ``test``. ``files`` and
    ``digest`` seal it, see `sealing`; runs that are older than seals have neither.
    """

    schema_: Literal["adapterkit.run.v1"] = Field(default=SCHEMA, alias="schema")
    status: Literal["running", "interrupted", "failed", "finished"]
    created: str
    command: str
    task: str
    labels: tuple[str, ...]
    plan: str
    seed: int
    protocol: str = "word"
    sample: bool
    data: DataRecord
    backbone: BackboneRecord
    ledger: LedgerRecord
    hyperparameters: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    timings: Timings
    memory: Memory
    versions: dict[str, str]
    hardware: dict[str, Any]
    notes: tuple[str, ...] = ()
    files: dict[str, FileRecord] | None = None
    digest: str | None = None

    @model_validator(mode="after")
    def _check_metrics(self) -> RunManifest:
        for split, measures in self.metrics.items():
            if not isinstance(measures.get("score"), (int, float)):
                raise ValueError(f"metrics.{split} has no number called score")
        if self.status == "finished" and not {"dev", "test"} <= set(self.metrics):
            raise ValueError("a finished run has metrics.dev and metrics.test")
        if self.sample != (self.data.source == "sample"):
            raise ValueError("sample and data.source contradict each other")
        return self

    def as_dict(self) -> dict[str, Any]:
        """Return the manifest as ``run.json`` spells it."""
        content = self.model_dump(mode="json", by_alias=True)
        # What has no seal is spelled as it was before there were any.
        return {k: v for k, v in content.items() if v is not None or k not in _SEAL}


def save(manifest: RunManifest, path: str | Path) -> None:
    """Write ``manifest`` to ``path`` in one step.

    Raises:
        UserError: The disk is full or the path cannot be written.
    """
    write_json(path, manifest.as_dict())


def load(path: str | Path) -> RunManifest:
    """Read a manifest.

    Args:
        path: ``run.json`` or the run directory that holds it.

    Raises:
        UserError: The file is missing, no JSON, of another schema, or lacks a field.
    """
    file = Path(path)
    if file.is_dir():
        file = file / MANIFEST_NAME
    content = _read_json_object(file)
    if content.get("schema") != SCHEMA:
        raise UserError(
            "The run was written under another schema.",
            where=f"{file}: schema",
            found=str(content.get("schema", "no schema field")),
            allowed=SCHEMA,
            hint="use the adapterkit version that wrote it, or tune again",
        )
    try:
        return RunManifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "top level"
        raise UserError(
            "The run's manifest is damaged.",
            where=f"{file}: {field}",
            found=first["msg"],
            allowed=f"a manifest of schema {SCHEMA}",
            hint="restore the file, or tune again",
        ) from error


def _read_json_object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _no_run(file) from error
    except NotADirectoryError as error:
        raise _no_run(file) from error
    except OSError as error:
        raise UserError(
            "The run's manifest cannot be read.", where=str(file), found=error.strerror
        ) from error
    except ValueError as error:
        raise UserError(
            "The run's manifest is damaged.",
            where=str(file),
            found=f"not JSON ({error})",
            allowed=f"a manifest of schema {SCHEMA}",
            hint="restore the file, or tune again",
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            "The run's manifest is damaged.",
            where=str(file),
            found=f"a JSON {type(content).__name__}",
            allowed="a JSON object",
            hint="restore the file, or tune again",
        )
    return content


def _no_run(file: Path) -> UserError:
    return UserError(
        "There is no finished run here.",
        where=str(file),
        found="no run.json",
        allowed="a directory that `adapterkit tune` wrote",
        hint="check the path; a run that was stopped goes on with `adapterkit tune --resume`",
    )
