"""The card of a distilled backbone: what it was made from, how, and how good it is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from torch import nn

from adapterkit.backbones.pruned import parameter_count
from adapterkit.runs.environment import hardware, versions
from adapterkit.students.recipe import Recipe
from adapterkit.students.state import LoopState

_REPOSITORY = Path(__file__).resolve().parents[2]


def make_card(
    recipe: Recipe,
    state: LoopState,
    student: nn.Module,
    *,
    teacher: Mapping[str, Any],
    corpus: Sequence[Mapping[str, Any]],
    measures: Mapping[str, Any],
    command: str,
) -> dict[str, Any]:
    """Describe a distilled backbone; no path of the machine it was made on is in it.

    Args:
        recipe: How it was made.
        state: What the distillation did.
        student: The model; what is not stored with the backbone is not part of it.
        teacher: Its name and shape.
        corpus: Name and SHA-256 of each file.
        measures: Throughput, and what else was measured once.
        command: What was typed.
    """
    written = recipe.as_dict()
    written["corpus"]["files"] = [Path(file).name for file in recipe.corpus.files]
    written["evaluation"]["probe"] = [Path(task).name for task in recipe.evaluation.probe]
    written["teacher"] = teacher["id"]
    if recipe.student.backbone is not None:
        written["student"]["backbone"] = Path(recipe.student.backbone).name
    return {
        "name": recipe.name,
        "licence": recipe.licence,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "recipe": written,
        "teacher": dict(teacher),
        "corpus": [dict(file) for file in corpus],
        "corpus_licences": list(recipe.corpus.licences),
        "tokens_seen": state.tokens,
        "updates": state.update,
        "seconds": round(state.seconds, 1),
        "tokens_per_second": round(state.tokens_per_second, 1),
        "parameters": parameter_count(student),
        "curve": state.curve,
        "scores": state.curve[-1] if state.curve else {},
        **measures,
        "command": portable(command),
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(),
    }


def portable(command: str) -> str:
    """The command with every path cut to its last part: a card names no machine."""
    return shlex.join(re.sub(r"[^\s=,\[\]]*/", "", word) for word in shlex.split(command))


def commit(repository: Path = _REPOSITORY) -> str | None:
    """The commit that is checked out, or None where the code is not a git checkout."""
    git = repository / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (git / name).is_file():
            return (git / name).read_text(encoding="utf-8").strip()
        packed = (git / "packed-refs").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(rf"^([0-9a-f]{{40,64}}) {re.escape(name)}$", packed, re.MULTILINE)
    return found[1] if found else None
