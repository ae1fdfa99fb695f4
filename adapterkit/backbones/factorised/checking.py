"""What a form's numbers may be, said in sentences that name the wrong one."""

from __future__ import annotations

MAX_SIZE = 1 << 20
"""Largest side, number of terms, rank or bond of a form: as large as a vocabulary may be."""

MAX_DIMENSIONS = 9
"""Most factors that a side of a matrix product operator is split in."""


def check_size(name: str, value: object) -> int:
    """Hold `value` to an integer from 1 to `MAX_SIZE`.

    Raises:
        ValueError: It is something else.
    """
    if type(value) is not int or not 1 <= value <= MAX_SIZE:
        raise ValueError(f"{name} has to be an integer from 1 to {MAX_SIZE:,}, not {value!r}.")
    return value


def check_sizes(name: str, value: object, lengths: range) -> tuple[int, ...]:
    """Hold `value` to a tuple of as many sizes as `lengths` allows, whose product is a size too.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, tuple) or len(value) not in lengths:
        wanted = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
        raise ValueError(f"{name} has to be {wanted} integers, not {value!r}.")
    product = 1
    for position, size in enumerate(value):
        product *= check_size(f"{name}[{position}]", size)
    if product > MAX_SIZE:
        raise ValueError(f"The product of {name} may be {MAX_SIZE:,} at most, not {product:,}.")
    return value


def check_at_most(name: str, value: object, most: int) -> None:
    """Hold `value` to an integer from 1 to `most`, above which a form only grows.

    Raises:
        ValueError: It is something else.
    """
    if check_size(name, value) > most:
        raise ValueError(f"{name} may be {most:,} at most for this shape, not {value!r}.")
