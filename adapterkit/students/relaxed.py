"""Relaxed recursion: how the low-rank updates of a student's steps start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import BertModel

from adapterkit.backbones.adapter_model import LORA_MODULES, RecursiveAdapterModel
from adapterkit.backbones.bert_layers import layer_parameter
from adapterkit.backbones.relaxed import RELAXED, relaxed_config


@torch.no_grad()
def add_relaxed(
    model: RecursiveAdapterModel, rank: int, encoder: BertModel, layers: Sequence[int] | None
) -> None:
    """Add the updates of relaxed recursion to a student whose block is set.

    ``B[i] A[i]`` is the truncated SVD of ``(teacher's matrix) - (shared matrix)``, as in relaxed
    recursive transformers (Bae et al., arXiv 2410.20672). Both factors take half of each singular
    value, so that they learn at one scale. Of full rank, every step holds its teacher layer's
    matrices.

    Args:
        model: The student; changed in place.
        rank: Rank of the updates.
        encoder: The teacher.
        layers: For each recursion step, the teacher layer it starts at, the first being 1. None:
            every update starts at zero, as a LoRA does.
    """
    model.add_adapter(RELAXED, config=relaxed_config(rank))
    if layers is None:
        return
    theirs: Any = encoder.encoder.layer
    for block, layer in zip(model.albert.encoder.blocks(), layers, strict=True):
        for name in LORA_MODULES:
            linear: Any = block.get_submodule(name)
            difference = layer_parameter(theirs[layer - 1], f"{name}.weight") - linear.weight
            lora = linear.loras[RELAXED]
            lora.lora_A.zero_()
            lora.lora_B.zero_()
            up, down = truncated_svd(difference, rank)
            lora.lora_A[: len(down)] = down
            lora.lora_B[:, : len(down)] = up


def truncated_svd(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The factors whose product is the nearest matrix of at most that rank (Eckart and Young).

    Args:
        matrix: Shape (out, in).
        rank: The highest rank.

    Returns:
        Shapes (out, k) and (k, in), where k is `rank` or the smaller side of `matrix`.
    """
    # In double precision, so that factors of full rank multiply to what they were made of.
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    root = values[:rank].sqrt()
    up, down = left[:, :rank] * root, root[:, None] * right[:rank]
    return up.to(matrix), down.to(matrix)
