"""How long and how fast to learn."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Warm-up, then half a cosine down to a tenth of the peak.

    Attributes:
        tokens: Word pieces to see, padding not counted.
        learning_rate: Peak of the rate.
        warmup: Share of `tokens` spent warming up.
    """

    tokens: int
    learning_rate: float
    warmup: float

    def rate(self, seen: int) -> float:
        """The learning rate after `seen` word pieces."""
        share = min(1.0, seen / self.tokens)
        if share < self.warmup:
            # The first update would otherwise change nothing.
            return self.learning_rate * max(share, 1e-3) / self.warmup
        fall = (share - self.warmup) / (1 - self.warmup)
        return self.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * fall)))
