"""The plan that PEFT's updates amount to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from adapterkit.plans.adapter_table import ADAPTER_SPECS
from adapterkit.plans.choice import Choice
from adapterkit.plans.methods.low_rank import LowRank
from adapterkit.plans.options import OptionValue
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from adapterkit.sharing.peft.layouts import MATRICES
from adapterkit.sharing.peft.settings import LoraSettings

_ATTENTION = "qkv"
_DEFAULTS = LowRank()
_DEFAULT_ALPHA = 8


@dataclass(frozen=True)
class Update:
    """The low-rank update of one matrix.

    Attributes:
        module: The matrix's name in the stock model.
        step: Its recursion step.
        matrix: What the block calls it.
        down: Shape (rank, in).
        up: Shape (out, rank).
    """

    module: str
    step: int
    matrix: str
    down: torch.Tensor
    up: torch.Tensor


def plan_of(updates: Iterable[Update], settings: LoraSettings, steps: int, path: Path) -> StepPlan:
    """The plan whose LoRA has these updates.

    Args:
        updates: All of them.
        settings: What PEFT says of them.
        steps: The backbone's recursion steps.
        path: PEFT's configuration, for errors.

    Raises:
        UserError: At one step matrices have several ranks or scales, or none of attention has one.
    """
    by_step: dict[int, list[Update]] = {}
    for update in updates:
        by_step.setdefault(update.step, []).append(update)
    if not by_step:
        raise UserError("The adapter has no update of any matrix.", where=str(path))
    clauses = [
        f"{step}:{_choice(by_step[step], settings, path)}" if step in by_step else f"{step}:frozen"
        for step in range(steps)
    ]
    return StepPlan.parse(" ".join(clauses), steps, source=str(path))


def _choice(updates: list[Update], settings: LoraSettings, path: Path) -> Choice:
    kinds = {(settings.rank_of(u.module), settings.alpha_of(u.module)) for u in updates}
    step = updates[0].step
    if len(kinds) > 1:
        raise UserError(
            "Matrices of one step have several ranks or scales.",
            where=f"{path}: step {step}",
            found=", ".join(f"r={rank}, alpha={alpha:g}" for rank, alpha in sorted(kinds)),
            allowed="one rank and one alpha at each step",
            hint="use it with peft",
        )
    ((rank, alpha),) = kinds
    for update in updates:
        if len(update.down) != rank:
            raise UserError(
                "The adapter's configuration and its tensors contradict each other.",
                where=f"{path}: r, rank_pattern",
                found=f"rank {rank}, and {len(update.down)} in the tensors of {update.module}",
            )
    names = {name for name, matrix in MATRICES.items() if any(u.matrix == matrix for u in updates)}
    letters = "".join(letter for letter in _ATTENTION if letter in names)
    if not letters:
        raise UserError(
            "A step has updates of the feed-forward alone.",
            where=f"{path}: step {step}",
            allowed="one of query, key and value too, which adapterkit's LoRA always adapts",
            hint="use it with peft",
        )
    values: dict[str, OptionValue] = {
        "r": rank,
        "alpha": int(alpha) if alpha == int(alpha) else alpha,
        "dropout": settings.dropout,
        "attn_matrices": letters,
        "intermediate": "intermediate" in names,
        "output": "output" in names,
    }
    return Choice("adapter", "lora", _not_default(values))


def _not_default(values: dict[str, OptionValue]) -> tuple[tuple[str, OptionValue], ...]:
    usual = {
        "r": _DEFAULTS.r,
        "alpha": _DEFAULT_ALPHA,
        "dropout": 0.0,
        "attn_matrices": _DEFAULTS.attn_matrices,
        "intermediate": _DEFAULTS.intermediate_lora,
        "output": _DEFAULTS.output_lora,
    }
    order = [option.name for option in ADAPTER_SPECS["lora"].options]
    return tuple((name, values[name]) for name in order if values[name] != usual[name])
