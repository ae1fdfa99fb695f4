"""Dropout whose mask takes less time to draw on a processor."""

from __future__ import annotations

import torch
from torch import nn
from torch.profiler import record_function

_LEVELS = 1 << 16


def drop(states: torch.Tensor, probability: float) -> torch.Tensor:
    """Set each element to zero with a probability, and scale the others to keep the mean.

    On a processor PyTorch draws one number of 64 bits for each element. Here one of them serves
    four, so that probabilities are rounded to multiples of 1 / 65,536, and the scale with them.

    Args:
        states: Any shape.
        probability: From 0 to 1.

    Returns:
        A tensor of the same shape.
    """
    dropped = round(probability * _LEVELS)
    if states.device.type != "cpu" or dropped in (0, _LEVELS):
        return nn.functional.dropout(states, probability)
    with record_function("adapterkit::dropout"):
        numbers = torch.empty((states.numel() + 3) // 4, dtype=torch.int64)
        drawn = numbers.random_(-(1 << 63), None).view(torch.int16)[: states.numel()]
        kept = (drawn.view(states.shape) >= dropped - _LEVELS // 2).to(states.dtype)
        return states * kept.mul_(_LEVELS / (_LEVELS - dropped))


class StepDropout(nn.Dropout):
    """The dropout of a recursion step."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Drop elements of `states` while training; any shape."""
        return drop(states, self.p) if self.training else states
