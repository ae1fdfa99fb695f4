"""The order in which a chain is multiplied out, against trying every order."""

from __future__ import annotations

from math import prod

from hypothesis import given
from hypothesis import strategies as st

from adapterkit.backbones.factorised.chain import Order, cheapest_order
from tests.backbones.factorised.small import few


@st.composite
def chains(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    count = draw(st.integers(1, 6))
    inner = draw(st.lists(st.integers(1, 9), min_size=count - 1, max_size=count - 1))
    legs = draw(st.lists(st.integers(1, 9), min_size=count, max_size=count))
    return (1, *inner, 1), tuple(legs)


def _every_cost(bonds: tuple[int, ...], legs: tuple[int, ...]) -> list[int]:
    """What each order costs, joining neighbours in every possible sequence."""
    if len(legs) == 1:
        return [0]
    costs = []
    for at in range(len(legs) - 1):
        joining = bonds[at] * legs[at] * bonds[at + 1] * legs[at + 1] * bonds[at + 2]
        merged = (*legs[:at], legs[at] * legs[at + 1], *legs[at + 2 :])
        costs += [joining + c for c in _every_cost(bonds[: at + 1] + bonds[at + 2 :], merged)]
    return costs


def _cost(order: Order, bonds: tuple[int, ...], legs: tuple[int, ...]) -> tuple[int, range]:
    """What an order costs, and which tensors it joins."""
    if isinstance(order, int):
        return 0, range(order, order + 1)
    (left, first), (right, second) = (_cost(part, bonds, legs) for part in order)
    assert first.stop == second.start
    whole = range(first.start, second.stop)
    joining = bonds[whole.start] * prod(legs[k] for k in whole) * bonds[whole.stop]
    return left + right + joining * bonds[first.stop], whole


@few
@given(chains())
def test_no_order_is_cheaper(chain: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    bonds, legs = chain
    cost, order = cheapest_order(bonds, legs)
    assert cost == min(_every_cost(bonds, legs))
    assert _cost(order, bonds, legs) == (cost, range(len(legs)))
