"""A cell of a suite: one run, and what it depends on."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapterkit.comparing.suites.inputs import Inputs
from adapterkit.runs.hashing import sha256_text
from adapterkit.tuning.request import Request

_STOOD_FOR = ("task", "backbone", "data")
"""Names in a request that stand for what `Inputs` holds itself."""
_OPTIONS = {
    "backbone": "backbone",
    "data": "data",
    "epochs": "epochs",
    "learning_rate": "lr",
    "head_learning_rate": "head-lr",
    "batch_tokens": "batch-tokens",
    "patience": "patience",
    "limit_train": "limit-train",
    "limit_dev": "limit-dev",
    "precision": "precision",
    "protocol": "protocol",
    "prefix_cache": "prefix-cache",
}


@dataclass(frozen=True)
class Cell:
    """One run of a suite.

    Attributes:
        request: What the run is asked for; its plan names every step.
        inputs: What its result depends on besides.
        plan: The plan as the suite spells it.
        variant: Options that set it apart from other runs of its task, plan and seed.
    """

    request: Request
    inputs: Inputs
    plan: str
    variant: tuple[tuple[str, Any], ...] = ()

    @functools.cached_property
    def identity(self) -> str:
        """SHA-256 of all that can change the result: equal cells make equal runs.

        Where task, data and backbone lie makes no difference, nor do processor threads, which
        change the last bits of a sum and the time it takes.
        """
        asked = self.request.as_dict()
        values = {
            "request": {name: asked[name] for name in asked if name not in _STOOD_FOR},
            "inputs": self.inputs.as_dict(),
        }
        return sha256_text(json.dumps(values, sort_keys=True, ensure_ascii=False))

    @property
    def folder_name(self) -> str:
        """Task, plan and seed in words, and the first ten digits of the identity."""
        return f"{self.request.folder_name}-{self.identity[:10]}"

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.inputs.task["name"])

    @property
    def name(self) -> str:
        """What the cell is called in messages."""
        varied = "".join(f" {name}={value:g}" for name, value in self.variant)
        return f"{self.task} {self.plan}{varied} seed {self.request.seed}"

    @property
    def command(self) -> str:
        """What to type to make the same run by itself."""
        asked = self.request.as_dict()
        words = ["adapterkit", "tune", "--task", self.request.task, "--plan", self.request.plan]
        defaults = Request(task="", plan="").as_dict()
        for name, option in _OPTIONS.items():
            if asked[name] != defaults[name]:
                words += [f"--{option}", str(asked[name])]
        return shlex.join([*words, "--seed", str(self.request.seed)])

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, for ``cell.json``."""
        return {
            "identity": self.identity,
            "request": self.request.as_dict(),
            "inputs": self.inputs.as_dict(),
            "plan": self.plan,
            "variant": dict(self.variant),
            "command": self.command,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """Read what `as_dict` wrote.

        Raises:
            UserError: The request is damaged, or of another version.
        """
        inputs = values["inputs"]
        return cls(
            Request.from_dict(values["request"]),
            Inputs(inputs["task"], inputs["data"], inputs["backbone"], inputs["code"]),
            values["plan"],
            tuple(values["variant"].items()),
        )
