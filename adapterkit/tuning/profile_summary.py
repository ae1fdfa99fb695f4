"""Where the time of some updates went, in a few figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adapterkit.tuning.profile_kinds import BETWEEN, KINDS, is_update, kinds_of

_LISTED = 20


@dataclass(frozen=True)
class KindShare:
    """What operators of one kind took.

    Attributes:
        kind: One of `profile_kinds.KINDS`.
        seconds_per_update: Without the operators of other kinds that they called.
        share: Of the time of an update.
    """

    kind: str
    seconds_per_update: float
    share: float


@dataclass(frozen=True)
class OperatorShare(KindShare):
    """What one operator took, where it was of one kind.

    Attributes:
        name: As PyTorch calls it.
        calls_per_update: How often it ran.
    """

    name: str
    calls_per_update: float


@dataclass(frozen=True)
class ProfileSummary:
    """A table of where the time of training goes.

    Attributes:
        device: Whose time it is: on ``cuda`` operators are counted by what their kernels took.
        first_update: The first profiled update, counted from 1.
        updates: How many were profiled.
        seconds_per_update: Wall-clock time, the profiler's own included.
        word_pieces_per_update: Without padding.
        padded_pieces_per_update: With it.
        kinds: Every kind of `profile_kinds.KINDS`; their shares add up to 1.
        operators: The most expensive ones.
    """

    device: str
    first_update: int
    updates: int
    seconds_per_update: float
    word_pieces_per_update: float
    padded_pieces_per_update: float
    kinds: tuple[KindShare, ...]
    operators: tuple[OperatorShare, ...]

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"schema": "adapterkit.profile.v1", **asdict(self)}

    def lines(self) -> list[str]:
        """A few lines for people."""
        last = self.first_update + self.updates - 1
        head = (
            f"profile of updates {self.first_update}-{last}: {self.seconds_per_update:.4f} s and "
            f"{self.word_pieces_per_update:.0f} word pieces an update"
        )
        rows = [f"  {part.kind:<18} {part.share:6.1%}" for part in self.kinds if part.share]
        return [head, *rows]


def summarise(
    events: Sequence[Any], device: str, first_update: int, pieces: Sequence[tuple[int, int]]
) -> ProfileSummary:
    """Sum up what PyTorch's profiler recorded.

    Args:
        events: What `torch.profiler.profile.events` returns.
        device: Type of the device that computed.
        first_update: The first update recorded.
        pieces: For each update recorded, its word pieces without and with padding.
    """
    updates = len(pieces)
    host = [event for event in events if event.device_type.name == "CPU" and not event.is_async]
    wall = sum(event.cpu_time_total for event in host if is_update(event))
    taken, calls = _by_operator(host, device)
    # On a GPU, whatever no kernel took.
    taken[BETWEEN, ""] += wall - sum(taken.values())

    def shared(kind: str, own: float) -> tuple[str, float, float]:
        return kind, round(own / 1e6 / updates, 9), round(own / wall, 5)

    kinds = [
        KindShare(*shared(kind, sum(own for (of, _), own in taken.items() if of == kind)))
        for kind in KINDS
    ]
    operators = [
        OperatorShare(*shared(kind, own), name, calls[kind, name] / updates)
        for (kind, name), own in sorted(taken.items(), key=lambda item: -item[1])
        if kind != BETWEEN
    ]
    return ProfileSummary(
        device=device,
        first_update=first_update,
        updates=updates,
        seconds_per_update=round(wall / 1e6 / updates, 6),
        word_pieces_per_update=sum(real for real, _ in pieces) / updates,
        padded_pieces_per_update=sum(padded for _, padded in pieces) / updates,
        kinds=tuple(kinds),
        operators=tuple(operators[:_LISTED]),
    )


def _by_operator(
    events: Sequence[Any], device: str
) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], int]]:
    """Microseconds and calls of each operator, by its kind and name."""
    taken: dict[tuple[str, str], float] = defaultdict(float)
    calls: dict[tuple[str, str], int] = defaultdict(int)
    for event, kind in zip(events, kinds_of(events), strict=True):
        own = event.self_cpu_time_total if device == "cpu" else event.self_device_time_total
        taken[kind, event.name] += own
        calls[kind, event.name] += 1
    return taken, calls
