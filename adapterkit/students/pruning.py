"""Pruning a student's factors as it learns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from adapterkit.backbones.factorised.modules import Factors
from adapterkit.students.compressing import prune_to

_STAGES = 40


@dataclass(frozen=True)
class PruningSchedule:
    """What share of the factors' numbers is kept after how many word pieces.

    ``keep + (1 - keep) (1 - t)^3``, where t goes from 0 at `begin` to 1 at `end` (Zhu & Gupta,
    arXiv 1710.01878, equation 1): most goes early, while much is redundant, and little at the end.

    Args:
        keep: Share kept at the end.
        begin: Word pieces after which pruning begins.
        end: Word pieces after which nothing more is pruned.
    """

    keep: float
    begin: float
    end: float

    def kept(self, tokens: int) -> float:
        """Share kept after `tokens` word pieces; it falls in 40 stages."""
        if tokens <= self.begin:
            return 1.0
        passed = min(1.0, (tokens - self.begin) / (self.end - self.begin))
        left = 1 - int(passed * _STAGES) / _STAGES
        return self.keep + (1 - self.keep) * left**3


def prune_between(model: nn.Module, schedule: PruningSchedule, before: int, after: int) -> None:
    """Prune as an update asks for, and hold at zero what is pruned already.

    The optimiser moves entries that were pruned while they still have momentum.

    Args:
        model: The student; changed in place.
        schedule: What is kept when.
        before: Word pieces seen before the update.
        after: Word pieces seen with it.
    """
    if schedule.kept(after) < schedule.kept(before):
        prune_to(model, schedule.kept(after))
    hold_pruned(model)


@torch.no_grad()
def hold_pruned(model: nn.Module) -> None:
    """Set what is pruned to zero again."""
    for module in model.modules():
        if isinstance(module, Factors):
            for name, factor in module.named_parameters():
                if (mask := module.mask(name)) is not None:
                    factor.masked_fill_(~mask, 0)
