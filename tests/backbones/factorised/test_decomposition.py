"""Singular vectors whose signs do not depend on the library."""

from __future__ import annotations

import pytest
import torch

from adapterkit.backbones.factorised.decomposition import truncated_svd
from tests.backbones.factorised.small import random


@pytest.mark.parametrize("shape", [(40, 3), (3, 40), (6, 6)])
def test_the_largest_entry_on_the_shorter_side_is_positive(shape: tuple[int, int]) -> None:
    matrix = random(*shape)
    left, values, right = truncated_svd(matrix, 3)
    torch.testing.assert_close(values, torch.linalg.svdvals(matrix)[:3])
    shorter = left.T if shape[0] <= shape[1] else right
    assert bool((shorter.amax(1) == shorter.abs().amax(1)).all())
    if min(shape) == 3:
        torch.testing.assert_close(left * values @ right, matrix)


def test_flipping_rows_flips_what_is_long_alone() -> None:
    matrix = random(40, 3)
    left, _, right = truncated_svd(matrix, 2)
    flipped, _, same = truncated_svd(-matrix, 2)
    torch.testing.assert_close(same, right)
    torch.testing.assert_close(flipped, -left)
