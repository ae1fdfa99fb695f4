"""Documents as windows of word pieces, each ``[CLS] ... [SEP]`` and within one document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Batch = dict[str, torch.Tensor]
"""``input_ids`` and ``attention_mask``, each (batch, tokens), int64."""

Integers = np.ndarray[Any, np.dtype[np.int64]]

SPECIAL_TOKENS = 2
"""Pieces of a window that are no text: [CLS] and [SEP]."""

_MULTIPLE = 32


@dataclass(frozen=True)
class Windows:
    """Windows over a stream of word pieces.

    Attributes:
        tokens: Shape (pieces,): the stream.
        starts: Shape (windows,): where in the stream each window's text begins.
        lengths: Shape (windows,): word pieces of text in each, special tokens not counted.
        window: Word pieces in a full window, special tokens included.
        cls: Id of [CLS].
        sep: Id of [SEP].
        pad: Id of [PAD].
    """

    tokens: np.ndarray[Any, Any]
    starts: Integers
    lengths: Integers
    window: int
    cls: int
    sep: int
    pad: int

    def __len__(self) -> int:
        return len(self.starts)

    def widths(self) -> Integers:
        """The width each window is padded to: its length rounded up to a multiple of 32.

        Few widths mean few shapes of batches, so that a model is compiled a few times only. None is
        wider than a full window.
        """
        rounded = -(-(self.lengths + SPECIAL_TOKENS) // _MULTIPLE) * _MULTIPLE
        return np.minimum(rounded, self.window)

    def batch(self, chosen: Sequence[int] | Integers, width: int | None = None) -> Batch:
        """The windows `chosen`, padded to `width`, or to the widest of them."""
        rows = np.asarray(chosen, dtype=np.int64)
        lengths = self.lengths[rows, None]
        width = width or int(lengths.max()) + SPECIAL_TOKENS
        column = np.arange(width)[None]
        place = np.minimum(self.starts[rows, None] + column - 1, len(self.tokens) - 1)
        ids = self.tokens[np.maximum(place, 0)].astype(np.int64)
        ids[:, 0] = self.cls
        ids = np.where(column == lengths + 1, self.sep, ids)
        ids = np.where(column > lengths + 1, self.pad, ids)
        mask = (column < lengths + SPECIAL_TOKENS).astype(np.int64)
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def cut(begins: Integers, ends: Integers, window: int) -> tuple[Integers, Integers]:
    """Cut documents into windows of `window` pieces, [CLS] and [SEP] included.

    A document longer than a window becomes ``ceil(n / body)`` full windows at even distances, so
    that the text at their borders is in two of them and nothing is padding. A shorter document is
    one shorter window: documents are never merged.

    Args:
        begins: Shape (documents,): where each document begins in the stream.
        ends: Shape (documents,): where each ends.
        window: Word pieces in a full window.

    Returns:
        Starts and lengths of the windows, each shape (windows,).
    """
    body = window - SPECIAL_TOKENS
    sizes = ends - begins
    counts = -(-sizes // body)
    of_document = np.repeat(np.arange(len(sizes)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    index = np.arange(len(of_document)) - first
    slack = np.maximum(sizes - body, 0)[of_document]
    starts = begins[of_document] + index * slack // np.maximum(counts[of_document] - 1, 1)
    return starts, np.minimum(sizes, body)[of_document]
