"""The cheapest order in which a chain of tensors is multiplied out."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

Order: TypeAlias = "int | tuple[Order, Order]"
"""One tensor of the chain, by its position, or the product of two orders."""


@lru_cache(maxsize=1024)
def cheapest_order(bonds: tuple[int, ...], legs: tuple[int, ...]) -> tuple[int, Order]:
    """In which order a chain of tensors costs the fewest multiply-adds, and how many.

    The matrix-chain problem, where every tensor also has free legs.

    Args:
        bonds: ``d_0, ..., d_n``: tensor k (from 0) has the bonds ``d_k`` and ``d_{k+1}``.
        legs: Entries of the free legs of each tensor.
    """
    if len(legs) == 1:
        return 0, 0
    choices = []
    for cut in range(1, len(legs)):
        left_cost, left = cheapest_order(bonds[: cut + 1], legs[:cut])
        right_cost, right = cheapest_order(bonds[cut:], legs[cut:])
        joining = bonds[0] * bonds[cut] * bonds[-1]
        for leg in legs:
            joining *= leg
        choices.append((left_cost + right_cost + joining, cut, left, right))
    cost, cut, left, right = min(choices, key=lambda choice: choice[:2])
    return cost, (left, _shifted(right, cut))


def _shifted(order: Order, by: int) -> Order:
    if isinstance(order, int):
        return order + by
    return _shifted(order[0], by), _shifted(order[1], by)
