"""``plan.json``: what a saved adapted model needs besides its tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.runs.errors import UserError

PLAN_FILE = "plan.json"
SCHEMA: Literal["adapterkit.adapted.v1"] = "adapterkit.adapted.v1"


class PlanManifest(BaseModel):
    """How a saved result was adapted.

    Attributes:
        schema_: Format of the file.
        name: Name of the task.
        plan: The plan in short form, every step named.
        backbone: Fingerprint of the backbone it was made on.
        hidden_size: Width of that backbone.
        block_of_step: For each recursion step, the step whose block it uses.
        active: The active adapters and fusions in the order of their stack.
        adapters: The task adapters, and the frozen ones that they stand on or that a fusion fuses,
            each with its steps.
        head: Name of the task head; None where there is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal["adapterkit.adapted.v1"] = Field(default=SCHEMA, alias="schema")
    name: str
    plan: str
    backbone: str
    hidden_size: int
    block_of_step: list[int]
    active: list[str]
    adapters: dict[str, list[int]]
    head: str | None

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names of the task, its adapters and its fusions, as files and tensors have them."""
        own = (name for name in self.active if name not in (LAYERWISE, RELAXED))
        return tuple(dict.fromkeys((self.name, *self.adapters, *own)))

    @property
    def steps(self) -> int:
        """Number of recursion steps."""
        return len(self.block_of_step)


def read_plan_manifest(directory: Path) -> PlanManifest:
    """Read ``plan.json`` in `directory`.

    Raises:
        UserError: It is missing, damaged or of another format.
    """
    path = directory / PLAN_FILE
    try:
        return PlanManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            "The folder holds no adapted model.", where=str(path), found="there is no such file"
        ) from error
    except OSError as error:
        raise UserError(
            "The plan cannot be read.", where=str(path), found=error.strerror or str(error)
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UserError(
            "The plan of the adapted model is damaged or of another format.",
            where=f"{path}: {field}" if field else str(path),
            found=first["msg"],
            allowed=SCHEMA,
        ) from error
