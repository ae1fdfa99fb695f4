"""Batches of windows: endless and shuffled for training, each once for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adapterkit.students.packing import Batch, Integers, Windows

if TYPE_CHECKING:
    from adapterkit.students.corpus import Corpus


def batches(
    corpus: Corpus, *, batch_tokens: int, seed: int, start: int = 0, stride: int = 1
) -> Iterator[Batch]:
    """Endless batches of the training windows, in an order that depends on `seed` alone.

    A batch holds windows of one width and about `batch_tokens` word pieces, padding included. All
    batches of a width have one shape: the last of an epoch is filled up with its first windows.

    Args:
        corpus: The text.
        batch_tokens: Word pieces a batch.
        seed: Of the order.
        start: Batches to leave out at the beginning, which costs nothing.
        stride: Take every `stride`-th batch; process r of n takes ``start=u * n + r, stride=n``.

    Yields:
        ``input_ids`` and ``attention_mask``, each (batch, tokens).
    """
    shapes = _shapes(corpus.train, batch_tokens)
    per_epoch = sum(shape.batches for shape in shapes)
    number, planned, epoch = start, -1, []
    while True:
        if number // per_epoch != planned:
            planned = number // per_epoch
            epoch = _epoch(shapes, np.random.default_rng([seed, planned]))
        width, rows = epoch[number % per_epoch]
        yield corpus.train.batch(rows, width)
        number += stride


def held_out_batches(corpus: Corpus, *, batch_tokens: int) -> Iterator[Batch]:
    """Every held-out window once, in batches of at most `batch_tokens` word pieces.

    Yields:
        ``input_ids`` and ``attention_mask``, each (batch, tokens).
    """
    for shape in _shapes(corpus.held_out, batch_tokens):
        for first in range(0, len(shape.windows), shape.rows):
            yield corpus.held_out.batch(shape.windows[first : first + shape.rows], shape.width)


@dataclass(frozen=True)
class _Shape:
    """The windows of one width, and how many of them make a batch."""

    width: int
    rows: int
    windows: Integers

    @property
    def batches(self) -> int:
        return -(-len(self.windows) // self.rows)


def _shapes(windows: Windows, batch_tokens: int) -> list[_Shape]:
    widths = windows.widths()
    shapes = []
    for width in np.unique(widths):
        members = np.flatnonzero(widths == width)
        rows = min(max(1, batch_tokens // int(width)), len(members))
        shapes.append(_Shape(int(width), rows, members))
    return shapes


def _epoch(shapes: list[_Shape], rng: np.random.Generator) -> list[tuple[int, Integers]]:
    epoch = []
    for shape in shapes:
        order = np.resize(rng.permutation(shape.windows), shape.batches * shape.rows)
        epoch += [(shape.width, rows) for rows in order.reshape(shape.batches, shape.rows)]
    return [epoch[index] for index in rng.permutation(len(epoch))]
