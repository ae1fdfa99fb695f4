"""Small forms, and factors and weights for them, drawn at random."""

from __future__ import annotations

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from adapterkit.backbones.factorised.forms import Form, Kronecker, LowRank, MatrixProduct

few = settings(deadline=None, max_examples=60)
"""torch's first calls take longer than a deadline allows."""

seeds = st.integers(0, 2**32 - 1)
_sizes = st.integers(1, 5)


@st.composite
def kroneckers(draw: st.DrawFn) -> Kronecker:
    rows, columns = (draw(st.tuples(_sizes, _sizes)) for _ in range(2))
    most = min(rows[0] * columns[0], rows[1] * columns[1])
    return Kronecker(rows, columns, draw(st.integers(1, min(most, 4))))


@st.composite
def matrix_products(draw: st.DrawFn) -> MatrixProduct:
    count = draw(st.integers(2, 5))
    rows, columns = (draw(st.tuples(*[st.integers(1, 3)] * count)) for _ in range(2))
    return MatrixProduct(rows, columns, draw(st.none() | st.integers(1, 6)))


@st.composite
def low_ranks(draw: st.DrawFn) -> LowRank:
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    return LowRank(rows, columns, draw(st.integers(1, min(rows, columns))))


def forms() -> st.SearchStrategy[Form]:
    return st.one_of(kroneckers(), matrix_products(), low_ranks())


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed numbers in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def factors_of(form: Form, seed: int = 0) -> dict[str, Tensor]:
    """Factors of a form that have nothing to do with any weight."""
    shapes = enumerate(form.factor_shapes().items())
    return {name: random(*shape, seed=seed + number) for number, (name, shape) in shapes}
