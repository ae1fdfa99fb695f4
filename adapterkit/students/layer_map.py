"""Which teacher layer each recursion step learns from."""

from __future__ import annotations

from collections.abc import Sequence

from adapterkit.runs.errors import UserError


def resolve_layers(
    layers: Sequence[int] | None, steps: int, teacher_layers: int
) -> tuple[int, ...]:
    """The teacher layer of every recursion step, counted from one.

    Without a stated map the layers are evenly spread and the last step learns from the last layer:
    step i (from zero) of L learns from layer ``ceil((i + 1) N / L)`` of N. Six steps thus learn
    from layers 2, 4, ..., 12 of twelve, which is MiniALBERT's map (arXiv 2210.06425).

    Args:
        layers: A teacher layer for each step, or None.
        steps: Recursion steps of the student.
        teacher_layers: Layers of the teacher.

    Raises:
        UserError: The map has another length than the student, or names no layer of the teacher.
    """
    if layers is None:
        return tuple(-(-step * teacher_layers // steps) for step in range(1, steps + 1))
    if len(layers) != steps:
        raise UserError(
            "The layer map does not fit the student.",
            where="layers",
            found=f"{len(layers)} layers: {', '.join(map(str, layers))}",
            allowed=f"{steps} layers, one for each recursion step",
        )
    for step, layer in enumerate(layers):
        if not 1 <= layer <= teacher_layers:
            raise UserError(
                "The layer map names a layer that the teacher does not have.",
                where=f"layers, recursion step {step}",
                found=str(layer),
                allowed=f"1 to {teacher_layers}, the teacher's layers counted from one",
            )
    return tuple(layers)
