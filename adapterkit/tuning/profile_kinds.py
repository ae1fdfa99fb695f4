"""Of which kind the work of each operator that PyTorch's profiler saw is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MATRIX_PRODUCTS = "matrix products"
OTHER = "other operators"
BETWEEN = "between operators"
"""Python, and a GPU that waits for it."""

KINDS = (
    MATRIX_PRODUCTS,
    "attention",
    "normalisation",
    "activation",
    "dropout",
    "optimiser",
    "batches",
    OTHER,
    BETWEEN,
)
"""Scaled dot-product attention is a kind of its own, its matrix products and dropout included;
clipping gradients belongs to the optimiser."""

_OPERATORS = {
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm", "_addmm_activation"), MATRIX_PRODUCTS),
    **dict.fromkeys(
        ("layer_norm", "native_layer_norm", "native_layer_norm_backward", "rms_norm"),
        "normalisation",
    ),
    **dict.fromkeys(
        ("gelu", "gelu_backward", "relu", "silu", "tanh", "sigmoid", "threshold_backward"),
        "activation",
    ),
    **dict.fromkeys(("dropout", "dropout_", "native_dropout"), "dropout"),
    "linalg_vector_norm": "optimiser",
}
_BEGINNINGS = {
    "aten::scaled_dot_product_attention": "attention",
    "aten::_scaled_dot_product": "attention",
    "adapterkit::attention": "attention",
    "adapterkit::dropout": "dropout",
    "aten::_foreach_": "optimiser",
    "Optimizer.": "optimiser",
    "enumerate(DataLoader)": "batches",
}
_NODE = "autograd::engine::evaluate_function: "


def kinds_of(events: Sequence[Any]) -> list[str]:
    """The kind of each event's own time, without that of the events inside it.

    An operator inside another has the kind of the outermost that has one. What autograd does
    backwards has the kind of the operator whose gradient it takes, except for matrix products: in
    their backward, the products alone count, and neither the views nor the sums beside them.

    Args:
        events: `FunctionEvent`s of one thread, in order of their start.
    """
    known: dict[int, str | None] = {}
    forward: dict[int, str | None] = {}
    for event in events:
        kind = known.get(id(event.cpu_parent)) or _named(event.name)
        number = event.sequence_nr
        if kind is None and number >= 0 and _is_backward(event):
            kind = forward.get(number)
        elif number >= 0 and not _is_backward(event):
            # Operators that record nothing bear the number of the next that does.
            forward[number] = None if kind == MATRIX_PRODUCTS else kind
        known[id(event)] = kind
    return [known[id(event)] or (BETWEEN if is_update(event) else OTHER) for event in events]


def is_update(event: Any) -> bool:
    """Whether it is the range of a whole update."""
    return bool(event.name.startswith("ProfilerStep"))


def _named(name: str) -> str | None:
    kind = _OPERATORS.get(name.removeprefix("aten::"))
    if kind is None:
        kind = next((k for start, k in _BEGINNINGS.items() if name.startswith(start)), None)
    return kind


def _is_backward(event: Any) -> bool:
    # The scope of a node is BACKWARD_FUNCTION; the event around it has none.
    return bool(event.scope == 1 or event.name.startswith(_NODE))
