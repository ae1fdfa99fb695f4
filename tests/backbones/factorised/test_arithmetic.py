"""What holds of every form: the fast ways say what the matrix multiplied out says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from torch.utils.flop_counter import FlopCounterMode

from adapterkit.backbones.factorised.arithmetic import (
    apply,
    materialise,
    relative_error,
    rows_of,
    start,
)
from adapterkit.backbones.factorised.forms import Form, Kronecker, LowRank, MatrixProduct
from tests.backbones.factorised.small import factors_of, few, forms, random, seeds

EACH = (
    Kronecker((4, 2), (3, 5), 2),
    Kronecker((2, 4), (5, 3)),
    MatrixProduct((2, 2, 2), (5, 1, 3), 3),
    LowRank(8, 15, 3),
)


@few
@given(forms(), seeds)
def test_applying_is_multiplying_by_the_matrix(form: Form, seed: int) -> None:
    factors = factors_of(form, seed)
    states = random(2, 3, form.shape[1], seed=seed)
    expected = states @ materialise(form, factors).T
    torch.testing.assert_close(apply(form, factors, states), expected)
    torch.testing.assert_close(apply(form, factors, states[0, 0]), expected[0, 0])
    bias = random(form.shape[0], seed=seed + 1)
    torch.testing.assert_close(apply(form, factors, states, bias), expected + bias)


@few
@given(forms())
def test_applying_takes_the_operations_that_the_form_tells(form: Form) -> None:
    """Counted by PyTorch as it multiplies: so the cheaper order is taken, and nothing besides."""
    factors, states = factors_of(form), random(2, 3, form.shape[1])
    with FlopCounterMode(display=False) as counter:
        apply(form, factors, states)
    assert counter.get_total_flops() == form.flops(6)


@few
@given(forms(), seeds)
def test_rows_are_those_of_the_matrix(form: Form, seed: int) -> None:
    factors = factors_of(form, seed)
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randint(form.shape[0], (2, 3), generator=generator)
    torch.testing.assert_close(rows_of(form, factors, indices), materialise(form, factors)[indices])


@few
@given(forms(), seeds)
def test_a_start_has_the_shapes_of_the_form_and_comes_out_the_same_again(
    form: Form, seed: int
) -> None:
    weight = random(*form.shape, seed=seed)
    factors = start(form, weight)
    assert {name: tuple(factor.shape) for name, factor in factors.items()} == form.factor_shapes()
    for name, factor in start(form, weight).items():
        assert torch.equal(factor, factors[name])


@few
@given(forms(), seeds)
def test_a_weight_that_has_the_form_is_found_again(form: Form, seed: int) -> None:
    weight = materialise(form, factors_of(form, seed))
    assert relative_error(form, start(form, weight), weight) < 1e-9


@pytest.mark.parametrize("form", EACH)
def test_gradients_are_those_of_the_matrix(form: Form) -> None:
    wanted = random(2, 3, 8, seed=1)
    gradients = []
    for way in (
        lambda factors, states, bias: apply(form, factors, states, bias),
        lambda factors, states, bias: states @ materialise(form, factors).T + bias,
    ):
        leaves = factors_of(form) | {"states": random(2, 3, 15), "bias": random(8, seed=2)}
        states, bias = (leaves[name].requires_grad_() for name in ("states", "bias"))
        factors = {name: leaves[name].requires_grad_() for name in form.factor_shapes()}
        (way(factors, states, bias) * wanted).sum().backward()
        gradients.append({name: leaf.grad for name, leaf in leaves.items()})
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("form", EACH)
def test_rows_that_are_looked_up_learn(form: Form) -> None:
    indices = torch.tensor([3, 0, 3])
    wanted = random(3, 15)
    gradients = []
    for way in (
        lambda factors: rows_of(form, factors, indices),
        lambda factors: materialise(form, factors)[indices],
    ):
        factors = {name: t.requires_grad_() for name, t in factors_of(form).items()}
        (way(factors) * wanted).sum().backward()
        gradients.append({name: factor.grad for name, factor in factors.items()})
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("form", EACH)
def test_the_arithmetic_follows_autocast(form: Form) -> None:
    factors = {name: factor.float() for name, factor in factors_of(form).items()}
    states = random(2, 3, 15).float()
    bias = random(8, seed=2).float()
    with torch.autocast("cpu", torch.bfloat16):
        applied = apply(form, factors, states, bias)
    assert applied.dtype == torch.bfloat16
    exact = apply(form, factors, states, bias)
    assert (applied - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("form", EACH)
def test_states_may_lie_in_memory_as_they_like(form: Form) -> None:
    factors, states = factors_of(form), random(15, 3, 2).permute(2, 1, 0)
    assert not states.is_contiguous()
    expected = apply(form, factors, states.contiguous())
    torch.testing.assert_close(apply(form, factors, states), expected)


@pytest.mark.parametrize("form", EACH)
def test_no_states_are_no_states(form: Form) -> None:
    assert apply(form, factors_of(form), random(0, 4, 15)).shape == (0, 4, 8)
    nothing = torch.zeros(0, dtype=torch.long)
    assert rows_of(form, factors_of(form), nothing).shape == (0, 15)


@pytest.mark.parametrize("form", EACH)
def test_a_row_that_is_not_there_is_an_error(form: Form) -> None:
    with pytest.raises(IndexError):
        rows_of(form, factors_of(form), torch.tensor([8]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("form", EACH)
def test_factors_have_the_dtype_of_the_weight(form: Form, dtype: torch.dtype) -> None:
    weight = torch.nn.Parameter(random(8, 15).to(dtype))
    factors = start(form, weight)
    assert all(factor.dtype == dtype for factor in factors.values())
    assert not any(factor.requires_grad for factor in factors.values())
    exact = start(form, random(8, 15))
    assert relative_error(form, factors, weight) == pytest.approx(
        relative_error(form, exact, random(8, 15)), rel=0.05
    )


@pytest.mark.parametrize("form", EACH)
def test_a_weight_of_another_shape_is_refused(form: Form) -> None:
    with pytest.raises(ValueError, match=r"a matrix of \[8, 15\], the weight has \[15, 8\]"):
        start(form, random(15, 8))


@pytest.mark.parametrize("form", EACH)
def test_a_weight_of_zeros_starts_as_zeros(form: Form) -> None:
    weight = torch.zeros(8, 15)
    factors = start(form, weight)
    assert all(bool(factor.isfinite().all()) for factor in factors.values())
    assert relative_error(form, factors, weight) == 0


def test_the_error_is_a_part_of_the_weight() -> None:
    form = LowRank(2, 2, 1)
    factors = {"left": torch.tensor([[1.0], [0.0]]), "right": torch.tensor([[4.0, 0.0]])}
    assert relative_error(form, factors, torch.diag(torch.tensor([4.0, 3.0]))) == pytest.approx(0.6)
