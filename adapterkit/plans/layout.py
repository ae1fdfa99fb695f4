"""Which steps share a block once some of them have left it."""

from __future__ import annotations

from collections.abc import Sequence


def block_layout(current: Sequence[int], groups: Sequence[Sequence[int]]) -> list[int]:
    """The layout after some steps leave the blocks they share.

    Args:
        current: For each step, the step whose block it uses.
        groups: Sets of steps that are to share a block with each other and no other step. Steps
            whose blocks differ now keep different blocks.

    Returns:
        For each step, the step whose block it uses: the first of those that share it.
    """
    group_of = {step: number for number, group in enumerate(groups) for step in group}
    first: dict[tuple[int, int], int] = {}
    return [
        first.setdefault((group_of.get(step, -1), block), step)
        for step, block in enumerate(current)
    ]
