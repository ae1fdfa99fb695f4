"""The ledger: what an adapted model holds, what learns and what is shipped, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from adapterkit.plans.choice import Choice


@dataclass(frozen=True)
class StepRow:
    """What one recursion step has to itself.

    Args:
        step: The step.
        mechanism: What adapts it.
        learns: What learns there, in words.
        trainable: Parameters that learn and that no other step uses.
        shipped_bytes: Bytes shipped that no other step uses.
    """

    step: int
    mechanism: str
    learns: str
    trainable: int
    shipped_bytes: int


@dataclass(frozen=True)
class SharedRow:
    """What several steps share, or no step owns.

    Args:
        part: What it is: ``block``, ``adapter NAME``, ``side NAME``, ``embeddings`` or ``head``.
        steps: The steps that share it; empty where no step owns it.
        trainable: Parameters that learn.
        shipped_bytes: Bytes shipped.
    """

    part: str
    steps: tuple[int, ...]
    trainable: int
    shipped_bytes: int


@dataclass(frozen=True)
class Ledger:
    """Parameters and bytes of an adapted model, each stored tensor once.

    Args:
        backbone: Parameters of embeddings, projection, block copies and pooler, and of the updates
            that the steps of relaxed recursion have.
        layerwise: Parameters of the pretrained layer-wise adapters, the one behind the embeddings
            included.
        task: Parameters (and saved buffers) of the plan's task adapters, or of its side path.
        head: Parameters of the task head.
        trainable: Parameters that learn.
        shipped_bytes: Bytes of the tensors that a saved result holds.
        steps: What each step has to itself.
        shared: What several steps share, or no step owns. Steps and shared rows add up to
            `trainable` and `shipped_bytes`.
    """

    backbone: int
    layerwise: int
    task: int
    head: int
    trainable: int
    shipped_bytes: int
    steps: tuple[StepRow, ...]
    shared: tuple[SharedRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """The ledger as plain values, for ``run.json``."""
        return asdict(self)


@dataclass(frozen=True)
class Entry:
    """Stored numbers, as the ledger counts them.

    Args:
        column: The ledger's column; None where they are no part of the adapted model.
        part: The shared row they belong to; empty where one step owns them.
        steps: The steps that share them, or the one that owns them.
        count: How many.
        bytes: Bytes they take.
        learns: Whether they learn.
        ships: Whether a saved result holds them; what learns is shipped.
    """

    column: Literal["backbone", "layerwise", "task", "head"] | None
    part: str
    steps: tuple[int, ...]
    count: int
    bytes: int
    learns: bool
    ships: bool


def tally(entries: Iterable[Entry], choices: Sequence[Choice]) -> Ledger:
    """Add up what a model stores.

    Args:
        entries: Everything the model stores, each tensor once, in its order.
        choices: What adapts each step.
    """
    entries = list(entries)
    columns = {
        column: sum(entry.count for entry in entries if entry.column == column)
        for column in ("backbone", "layerwise", "task", "head")
    }
    groups: dict[tuple[str, tuple[int, ...]], list[Entry]] = {}
    for entry in entries:
        if entry.ships:
            groups.setdefault((entry.part, entry.steps), []).append(entry)
    own = {steps[0]: group for (part, steps), group in groups.items() if not part}
    return Ledger(
        **columns,
        trainable=_trainable(entries),
        shipped_bytes=_shipped(entries),
        steps=tuple(
            StepRow(step, str(choice), choice.summary, _trainable(group), _shipped(group))
            for step, choice in enumerate(choices)
            for group in [own.get(step, [])]
        ),
        shared=tuple(
            SharedRow(part, steps, _trainable(group), _shipped(group))
            for (part, steps), group in groups.items()
            if part
        ),
    )


def _trainable(entries: Iterable[Entry]) -> int:
    return sum(entry.count for entry in entries if entry.learns)


def _shipped(entries: Iterable[Entry]) -> int:
    return sum(entry.bytes for entry in entries if entry.ships)
