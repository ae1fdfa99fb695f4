"""What the recursion steps share, in words."""

from __future__ import annotations

from adapterkit.backbones.tying import Sharing, block_parameters, is_matrix, shared_groups


def sharing(config: Sharing) -> str:
    """What the steps of a backbone share, such as ``"one block for all 6 steps"``."""
    steps = config.num_hidden_layers
    matrices = [shared_groups(config, n) for n in block_parameters(config) if is_matrix(n)]
    if all(len(groups) == steps for groups in matrices):
        return f"nothing: every one of the {steps} steps has a block of its own"
    blocks = len(set(config.block_of_step))
    shared = f"one block for all {steps} steps"
    if blocks > 1:
        shared = f"{blocks} blocks for {steps} steps"
    if config.tied == "matrices":
        shared += "; biases and LayerNorms are each step's own"
    if config.tied == "central":
        shared += "; auxiliary tensors are each step's own"
    if config.own_parameters:
        shared += f"; {len(config.own_parameters)} weights are single steps' own"
    return shared
