"""What the result of a run depends on besides what it was asked: data, backbone, code."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterkit.backbones.stated import stated_backbone
from adapterkit.backbones.stated_fingerprint import stated_fingerprint
from adapterkit.runs.environment import versions
from adapterkit.runs.hashing import sha256_file
from adapterkit.tasks.config import TaskConfig

_PACKAGE = Path(__file__).resolve().parents[2]
_ROOMS = ("runs", "tasks", "backbones", "plans", "tuning")
"""Where the code lies that a run goes through."""
_LIBRARIES = ("adapterkit", "adapters", "torch", "transformers", "tokenizers")
_DESCRIPTIONS = frozenset(
    [
        "title",
        "source",
        "licence",
        "citation",
        "expected",
        "notes",
        "corpus",
        "data",
    ]
)
"""Keys of a task's configuration that describe it or say where its data are: they change no run."""


@dataclass(frozen=True)
class Inputs:
    """What a run reads and is computed by, as far as it can change the result.

    Attributes:
        task: The task's configuration, without what only describes it.
        data: SHA-256 of each split's file.
        backbone: The backbone's fingerprint.
        code: Versions of libraries, and a digest of adapterkit's source.
    """

    task: Mapping[str, Any]
    data: Mapping[str, str]
    backbone: str
    code: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "task": dict(self.task),
            "data": dict(self.data),
            "backbone": self.backbone,
            "code": dict(self.code),
        }


@dataclass(frozen=True)
class BackboneFacts:
    """What a suite needs to know of a backbone.

    Attributes:
        fingerprint: Of what it computes.
        steps: Number of its recursion steps.
    """

    fingerprint: str
    steps: int


def backbone_facts(source: str) -> BackboneFacts:
    """Fingerprint and steps of a backbone, from its files alone where they tell.

    Raises:
        UserError: There is no such backbone, or it is damaged.
    """
    stated = stated_backbone(source)
    fingerprint = stated_fingerprint(stated) if stated is not None else None
    if stated is not None and fingerprint is not None:
        return BackboneFacts(fingerprint, stated.shape.num_hidden_layers)
    from adapterkit.backbones.loading import load_backbone

    loaded = load_backbone(source)
    return BackboneFacts(loaded.fingerprint, loaded.steps)


def configured(task: TaskConfig) -> dict[str, Any]:
    """The part of a task's configuration that can change a run."""
    values = task.model_dump(mode="json")
    return {key: value for key, value in values.items() if key not in _DESCRIPTIONS}


@functools.cache
def code_version() -> Mapping[str, str]:
    """Versions of the libraries a run goes through, and a digest of adapterkit's own source."""
    found = versions()
    named = {name: found[name] for name in _LIBRARIES if name in found}
    return {**named, "source": source_digest(_PACKAGE)}


def source_digest(package: Path) -> str:
    """The SHA-256 over the Python files of the rooms of `package` that a run goes through."""
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((package / room).rglob("*.py")):
            digest.update(f"{path.relative_to(package).as_posix()} {sha256_file(path)}\n".encode())
    return digest.hexdigest()
