"""How a side of a matrix can be split in factors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import isqrt


def divisor_pairs(n: int) -> tuple[tuple[int, int], ...]:
    """Every (a, b) with ``a b = n``, a rising."""
    small = [a for a in range(1, isqrt(n) + 1) if n % a == 0]
    pairs = [(a, n // a) for a in small]
    return (*pairs, *((b, a) for a, b in reversed(pairs) if a != b))


@lru_cache(maxsize=1024)
def balanced_factors(n: int, count: int) -> tuple[int, ...]:
    """`count` factors of n, as even as its divisors let them be, in the order of MPOBERT's shapes.

    As even as may be: of the smallest sum, and of those with the smallest largest factor. The
    largest stands in the centre (position ``count // 2``), the others outwards from there, right
    before left, and of three or more the smallest in the last place: in five, 768 is 4, 4, 4, 4, 3
    and 3,072 is 4, 4, 8, 6, 4, as in the paper's code.

    Args:
        n: What is split.
        count: In how many; more than n has prime factors leaves ones among them.

    Raises:
        ValueError: Either is not positive.
    """
    if n < 1 or count < 1:
        raise ValueError(f"{n} cannot be split in {count} factors.")
    falling = min(_falling(n, count, n), key=lambda factors: (sum(factors), factors))
    centre = count // 2
    places = sorted(range(count), key=lambda place: (abs(place - centre), -place))
    if count > 2:
        places.append(places.pop(places.index(count - 1)))
    return tuple(factor for _, factor in sorted(zip(places, falling, strict=True)))


def _falling(n: int, count: int, most: int) -> Iterator[tuple[int, ...]]:
    """Every `count` factors of n, none above `most`, each at most the one before."""
    if count == 1:
        if n <= most:
            yield (n,)
        return
    for first, rest in divisor_pairs(n):
        if first <= most and first**count >= n:
            for others in _falling(rest, count - 1, first):
                yield (first, *others)
