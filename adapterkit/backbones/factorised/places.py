"""Which matrices of a backbone can be stored as factors, and what shape each has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from adapterkit.backbones.factorised.forms import Form, form_from

TABLE = "embeddings.word_embeddings"
"""The one embedding table that can be factorised."""


class Sizes(Protocol):
    """The sizes of a backbone that its matrices' shapes follow from."""

    @property
    def vocab_size(self) -> int:
        """Number of word pieces."""

    @property
    def embedding_size(self) -> int:
        """Width of the embedding tables."""

    @property
    def hidden_size(self) -> int:
        """Width of the block."""

    @property
    def intermediate_size(self) -> int:
        """Width of the feed-forward layer."""


def matrix_shape(module: str, sizes: Sizes) -> tuple[int, int]:
    """Shape (out, in) of a module's matrix; of the table (vocabulary, embedding).

    Raises:
        ValueError: The module is none that can be factorised.
    """
    hidden, inner = sizes.hidden_size, sizes.intermediate_size
    shapes = {
        **dict.fromkeys(
            ("attention.query", "attention.key", "attention.value", "attention.dense"),
            (hidden, hidden),
        ),
        "ffn": (inner, hidden),
        "ffn_output": (hidden, inner),
        TABLE: (sizes.vocab_size, sizes.embedding_size),
    }
    if module not in shapes:
        raise ValueError(f"{module!r} cannot be factorised; these can: {', '.join(shapes)}")
    return shapes[module]


def block_forms(factorised: Mapping[str, Mapping[str, Any]]) -> dict[str, Form]:
    """The forms of the block's matrices that are stored as factors, by module."""
    return {name: form_from(form) for name, form in factorised.items() if name != TABLE}


def check_form(module: str, values: Mapping[str, Any], shape: tuple[int, int]) -> Form:
    """The form that a configuration gives a module's matrix.

    Raises:
        ValueError: It is none, or one of another shape.
    """
    form = form_from(values)
    if form.shape != shape:
        raise ValueError(
            f"the factors of {module} make a matrix of {form.shape[0]} x {form.shape[1]}, where "
            f"the backbone has one of {shape[0]} x {shape[1]}"
        )
    return form
