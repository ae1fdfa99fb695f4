"""Singular value decomposition as every start needs it: exact, truncated, and repeatable."""

from __future__ import annotations

import torch
from torch import Tensor


def truncated_svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """The leading `rank` singular triplets of a matrix.

    LAPACK leaves the sign of each pair of vectors open. Here the largest entry of the vector on
    the shorter side, the first of equal ones, is positive.

    Args:
        matrix: (m, n), in float64 on the CPU; either side may be very long.
        rank: How many, at most the shorter side.

    Returns:
        The left vectors (m, rank), the singular values (rank,), falling, and the right vectors
        (rank, n).
    """
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    left, values, right = left[:, :rank], values[:rank], right[:rank]
    shorter = left.T if matrix.shape[0] <= matrix.shape[1] else right
    largest = shorter.abs().argmax(dim=1, keepdim=True)
    signs = torch.where(shorter.gather(1, largest) < 0, -1.0, 1.0).to(matrix.dtype)
    return left * signs.T, values, right * signs


def as_double(weight: Tensor, shape: tuple[int, int]) -> Tensor:
    """The weight in float64 on the CPU, where every start is computed.

    Raises:
        ValueError: The weight has another shape than the form it is to be written in.
    """
    if tuple(weight.shape) != shape:
        raise ValueError(
            f"The form is of a matrix of {list(shape)}, the weight has {list(weight.shape)}."
        )
    return weight.detach().to(device="cpu", dtype=torch.float64)


def like(weight: Tensor, factors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The factors in the weight's dtype and on its device, none sharing memory with another."""
    return {
        name: factor.to(device=weight.device, dtype=weight.dtype).clone(
            memory_format=torch.contiguous_format
        )
        for name, factor in factors.items()
    }
