"""Hidden states of many windows in one file, mapped into memory."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from adapterkit.tuning.batches import cut_by_tokens

DTYPE = np.dtype("<f4")
"""Half precision moves what is trained on top hundreds of times as far as other batches do."""

_RELEASES = hasattr(mmap, "MADV_DONTNEED")


class StateLayout:
    """Where the states of each window stand: batch after batch, without padding.

    Args:
        lengths: Word pieces of each window.
        hidden: Width of the states; where several are kept, of all together.
        batch_tokens: Budget of the batches in which they are computed; see `cut_by_tokens`.
    """

    def __init__(self, lengths: Sequence[int], hidden: int, batch_tokens: int) -> None:
        self.lengths, self.hidden = lengths, hidden
        self.batches = cut_by_tokens(range(len(lengths)), lengths, batch_tokens)
        self.starts = [0] * len(lengths)
        pieces = 0
        for batch in self.batches:
            for index in batch:
                self.starts[index] = pieces
                pieces += lengths[index]
        self.bytes = pieces * hidden * DTYPE.itemsize

    def append(self, file: BinaryIO, batch: Sequence[int], states: torch.Tensor) -> None:
        """Write the states (windows, tokens, hidden) of the next batch, without its padding."""
        rows = states.to(device="cpu", dtype=torch.float32).numpy()
        for index, row in zip(batch, rows, strict=True):
            file.write(np.ascontiguousarray(row[: self.lengths[index]], dtype=DTYPE).data)


class StateFile:
    """States that a file holds; of those read before no memory is kept.

    Args:
        path: The file. It may be removed while it is in use.
        layout: Where in it the states are.

    Raises:
        OSError: It cannot be read, or is not of that layout.
    """

    def __init__(self, path: Path, layout: StateLayout) -> None:
        self._layout = layout
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != layout.bytes:
                raise OSError(f"{path} holds {size} bytes instead of {layout.bytes}")
            self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        self._rows = np.frombuffer(self._map, dtype=DTYPE).reshape(-1, layout.hidden)

    def padded(self, indices: Sequence[int], tokens: int) -> torch.Tensor:
        """The states (windows, tokens, hidden) of some windows; zero at padding."""
        states = np.zeros((len(indices), tokens, self._layout.hidden), dtype=np.float32)
        for row, index in enumerate(indices):
            start, length = self._layout.starts[index], self._layout.lengths[index]
            states[row, :length] = self._rows[start : start + length]
        if _RELEASES:
            # Pages of a mapped file count as the process's memory until they are given back.
            self._map.madvise(mmap.MADV_DONTNEED)
        return torch.from_numpy(states)
