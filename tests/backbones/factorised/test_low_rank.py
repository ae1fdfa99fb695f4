"""Low-rank products: the error is what the singular values left out say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given

from adapterkit.backbones.factorised.arithmetic import relative_error
from adapterkit.backbones.factorised.forms import LowRank
from adapterkit.backbones.factorised.low_rank import start
from tests.backbones.factorised.small import few, low_ranks, random, seeds


@few
@given(low_ranks(), seeds)
def test_the_error_is_the_smallest_possible(form: LowRank, seed: int) -> None:
    weight = random(*form.shape, seed=seed)
    values = torch.linalg.svdvals(weight)
    expected = (values[form.rank :].norm() / values.norm()).item()
    found = relative_error(form, start(form, weight), weight)
    assert found == pytest.approx(expected, abs=1e-9)


def test_both_sides_have_the_same_size() -> None:
    factors = start(LowRank(7, 5, 3), random(7, 5))
    left, right = factors["left"], factors["right"]
    torch.testing.assert_close(left.T @ left, right @ right.T)
