"""The least arithmetic, and the least traffic, that an update of a plan asks of the block.

H is the hidden width, F the inner one, E that of the embeddings, b and a the units of the
layer-wise and the task's bottlenecks, R the rank of relaxed recursion, C the tags, n the word
pieces of a window and k those of them that the head reads. A product of N word pieces with a matrix
(in, out) is 2 N in out operations forward; as many for the gradient of its input, if anything
learns at or below that input; as many for the gradient of the matrix, if it learns. In the last
step keys and values alone are needed of every word piece, all else of those that the head reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

FLOAT = 4
PER_LEARNED = 9 * FLOAT
"""Bytes that an update moves for each parameter that learns: AdamW reads and writes the parameter
and its two moments, and the gradient is written once, read for its norm and read again."""


Window = tuple[int, int]
"""Word pieces of a window, and those of them that the head reads."""


@dataclass(frozen=True)
class Widths:
    """The block's widths, by the letters above, and its number of steps."""

    H: int
    F: int
    E: int
    b: int
    a: int
    R: int
    C: int
    steps: int


@dataclass(frozen=True)
class Product:
    """Word pieces times one matrix.

    Attributes:
        inputs: Rows of the matrix.
        outputs: Its columns.
        input_gradient: Whether the gradient of what goes in is needed.
        learns: Whether that of the matrix is.
        relaxed: Whether a low-rank update of the matrix learns beside it.
        scored: Whether only the word pieces that the head reads are multiplied.
    """

    inputs: int
    outputs: int
    input_gradient: bool
    learns: bool
    relaxed: bool
    scored: bool


@dataclass(frozen=True)
class Work:
    """All products of an update.

    Attributes:
        products: In the order of the forward pass.
        attention: For each step that is run, whether gradients pass through its attention, and
            whether only the word pieces that the head reads attend.
    """

    products: tuple[Product, ...]
    attention: tuple[tuple[bool, bool], ...]


def widths_of(applied: Any) -> Widths:
    """Read the widths from an `AppliedPlan` and its model's configuration."""
    config, configs = applied.model.config, applied.model.adapters_config

    def units(name: str) -> int:
        found = configs.get(name)
        return int(config.hidden_size // found.configs[0]["reduction_factor"]) if found else 0

    relaxed = configs.get("relaxed")
    return Widths(
        H=config.hidden_size,
        F=config.intermediate_size,
        E=config.embedding_size,
        b=units("layerwise"),
        a=units(applied.name) if applied.adapter_names else 0,
        R=relaxed.r if relaxed else 0,
        C=applied.model.heads[applied.head].config["num_labels"],
        steps=config.num_hidden_layers,
    )


def work_of(widths: Widths, mechanisms: Sequence[str], kept: bool) -> Work:
    """The work of a plan of ``frozen``, ``adapter`` and ``full``.

    Args:
        widths: Of the backbone.
        mechanisms: One a step.
        kept: Whether the states below the lowest step that learns are at hand.
    """
    lowest = next((s for s, name in enumerate(mechanisms) if name != "frozen"), widths.steps)
    stages = list(_stages(widths, mechanisms, lowest if kept else 0))
    # The word embeddings learn where every step is `full`.
    below = set(mechanisms) == {"full"}
    products: list[Product] = []
    attention: list[tuple[bool, bool]] = []
    for stage in stages:
        products += [
            Product(inputs, outputs, below, stage.learns, stage.relaxed, scored)
            for inputs, outputs, scored in stage.sizes
        ]
        below = below or stage.learns
        if len(stage.sizes) == 3:
            # Query, key and value: attention comes next.
            attention.append((below, stage.sizes[0][2]))
    return Work(tuple(products), tuple(attention))


@dataclass(frozen=True)
class _Stage:
    """Matrices that read the same states: rows, columns, whether for scored pieces alone."""

    sizes: list[tuple[int, int, bool]]
    learns: bool
    relaxed: bool = False


def _stages(widths: Widths, mechanisms: Sequence[str], first: int) -> Iterator[_Stage]:
    w = widths
    if first == 0:
        yield _Stage([(w.E, w.H, False)], set(mechanisms) == {"full"})
    for step in range(first, w.steps):
        full, adapts, last = (mechanisms[step] == "full", mechanisms[step] == "adapter",
                              step == w.steps - 1)  # fmt: skip
        relaxed = full and w.R > 0
        layerwise, task = [(w.b, full)] * (w.b > 0), [(w.a, True)] * adapts
        read = [(w.H, w.H, last), (w.H, w.H, False), (w.H, w.H, False)]
        yield _Stage(read, full, relaxed)
        yield _Stage([(w.H, w.H, last)], full, relaxed)
        yield from _bottlenecks(w.H, [*layerwise, *task], last)
        yield _Stage([(w.H, w.F, last)], full, relaxed)
        yield _Stage([(w.F, w.H, last)], full, relaxed)
        # No layer-wise adapter follows the last step.
        yield from _bottlenecks(w.H, [*layerwise * (not last), *task], last)
    yield _Stage([(w.H, w.C, True)], True)


def _bottlenecks(hidden: int, found: Sequence[tuple[int, bool]], scored: bool) -> Iterator[_Stage]:
    for units, learns in found:
        yield _Stage([(hidden, units, scored)], learns)
        yield _Stage([(units, hidden, scored)], learns)


def flops(work: Work, widths: Widths, windows: Sequence[Window]) -> dict[str, float]:
    """Operations of an update on windows: forward, and the two of backward.

    Attention takes ``4 n n H`` a window forward, ``4 k n H`` in the last step, and twice that
    backward. A low-rank update that learns takes the less of two ways: beside its matrix, ``2 N R
    (in + out)`` a pass, or written into it, ``2 R in out`` a pass.
    """
    pieces = {False: sum(n for n, _ in windows), True: sum(k for _, k in windows)}
    pairs = {False: sum(n * n for n, _ in windows), True: sum(k * n for n, k in windows)}
    found = dict.fromkeys(("forward", "inputs", "weights"), 0.0)
    for product in work.products:
        size = product.inputs * product.outputs
        once = 2.0 * pieces[product.scored] * size
        beside = 2.0 * pieces[product.scored] * widths.R * (product.inputs + product.outputs)
        low_rank = min(beside, 2.0 * widths.R * size) * product.relaxed
        found["forward"] += once + low_rank
        found["inputs"] += (once + low_rank) * product.input_gradient
        found["weights"] += (once + low_rank) * product.learns
    for learned, scored in work.attention:
        found["forward"] += 4.0 * pairs[scored] * widths.H
        found["inputs"] += 8.0 * pairs[scored] * widths.H * learned
    return found


def padded(windows: Sequence[Window]) -> list[Window]:
    """A batch of windows as they are computed: all as long as the longest."""
    return [(max(n for n, _ in windows), max(k for _, k in windows))] * len(windows)


def traffic(work: Work, widths: Widths, pieces: float, scored: float, learned: int) -> float:
    """Bytes of an update if each product reads its operands from memory and writes its result once.

    All else is taken to happen in passing, so this is the traffic of a perfectly fused program
    whose caches keep nothing from one product to the next. Attention reads three states and writes
    one forward; backward it reads five and writes three.

    Args:
        work: The products.
        widths: Of the backbone.
        pieces: Word pieces of the update.
        scored: Those of them that the head reads.
        learned: Parameters that learn.
    """
    moved = 0.0
    for product in work.products:
        rows = scored if product.scored else pieces
        states = rows * (product.inputs + product.outputs)
        matrix = product.inputs * product.outputs
        # The gradient of the matrix itself is among the bytes of each parameter.
        moved += (states + matrix) * (1 + product.input_gradient) + states * product.learns
    for passed, in_part in work.attention:
        # Queries and results of the word pieces that attend, keys and values of all.
        attending = scored if in_part else pieces
        moved += widths.H * (2 * attending + 2 * pieces) * (1 + 2 * passed)
    return FLOAT * moved + PER_LEARNED * learned
