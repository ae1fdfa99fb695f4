"""Computing with each step's own matrix, written out once, where it does not change.

Relaxed recursion adds a low-rank update to every matrix of the block, so that a step's is
``W + B A``. As long as neither learns, the two products with the update can be spared: the matrix
of each step is kept beside the shared one, for as long as it is of use. So is a matrix that would
have to be multiplied out of its local tensors (matrix product operators) for every batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from adapterkit.backbones.lora_layers import FactorisedStepLinear, StepLoRALinear
from adapterkit.backbones.relaxed import RELAXED


def fuse_updates(model: nn.Module) -> list[StepLoRALinear]:
    """Write out the matrices of `model` whose two parts do not learn; see `fused_updates`.

    Whoever calls it sees to it that `model` keeps its weights and its device.

    Returns:
        The linears that got a matrix of their own now.
    """
    linears = [
        module
        for module in model.modules()
        if isinstance(module, StepLoRALinear)
        and module.written_out is None
        and _may_write_out(module)
    ]
    for linear in linears:
        linear.write_out()
    return linears


@contextlib.contextmanager
def fused_updates(model: nn.Module) -> Iterator[None]:
    """Let frozen low-rank updates of the backbone cost nothing inside the block.

    Results differ by how floating-point sums are ordered. Where gradients are taken, matrices that
    learn are left alone; where they are not, as in prediction, every matrix is written out. What is
    active besides relaxed recursion is computed as before.

    Args:
        model: A `RecursiveModel` or a model over one, which keeps its weights inside the block.
    """
    linears = fuse_updates(model)
    try:
        yield
    finally:
        for linear in linears:
            linear.written_out = None


def _may_write_out(linear: StepLoRALinear) -> bool:
    if linear.merged:
        return False
    if RELAXED not in linear.loras:
        gains = isinstance(linear, FactorisedStepLinear) and linear.gains_by_writing_out
    else:
        gains = linear.is_plain
    return gains and not (torch.is_grad_enabled() and linear.updates_learn)
