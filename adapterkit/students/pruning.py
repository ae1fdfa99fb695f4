"""Pruning a student's factors as it learns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from adapterkit.backbones.factorised.modules import Factors
from adapterkit.backbones.factorised.pruning import kept_count
from adapterkit.students.compressing import prune_to

_STAGES = 40
_FINE = 10**9


@dataclass(frozen=True)
class PruningSchedule:
    """What share of the factors' numbers is kept after how many word pieces.

    Args:
        keep: Share kept at the end.
        begin: Word pieces after which pruning begins.
        end: Word pieces after which nothing more is pruned.
    """

    keep: float
    begin: float
    end: float

    def kept(self, tokens: int) -> float:
        """Share kept after `tokens` word pieces; it falls in 40 stages, and is 1 before `begin`."""
        if tokens <= self.begin:
            return 1.0
        passed = min(1.0, (tokens - self.begin) / (self.end - self.begin))
        stage = int(passed * _STAGES)
        return kept_count(_FINE, round(self.keep * _FINE), stage, _STAGES) / _FINE


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
