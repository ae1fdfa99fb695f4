"""Where a distillation stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class LoopState:
    """What has been done so far, over all sessions of a run.

    Attributes:
        update: Updates made.
        tokens: Word pieces seen, padding not counted.
        seconds: Time spent on updates, evaluations and checkpoints left out.
        curve: The evaluations so far, each with the ``tokens`` after which it was made.
    """

    update: int = 0
    tokens: int = 0
    seconds: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)

    @property
    def tokens_per_second(self) -> float:
        """Word pieces seen a second; 0 before the first update."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The state in plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LoopState:
        """The state that `as_dict` told."""
        return cls(**values)
