"""States in a file: each window's where it belongs, and none of them held in memory."""

from __future__ import annotations

import mmap
import random
from pathlib import Path

import psutil
import pytest
import torch

from adapterkit.tuning.state_file import StateFile, StateLayout

HIDDEN = 8


def write(path: Path, layout: StateLayout) -> dict[int, torch.Tensor]:
    """Random states for every window, written batch by batch with padding that must not stay."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    with open(path, "wb") as file:
        for batch in layout.batches:
            width = max(layout.lengths[index] for index in batch) + 2
            states = torch.randn(len(batch), width, layout.hidden, generator=generator)
            layout.append(file, batch, states)
            for index, row in zip(batch, states, strict=True):
                made[index] = row[: layout.lengths[index]]
    return made


def test_every_window_gets_its_own(tmp_path: Path) -> None:
    rng = random.Random(0)
    layout = StateLayout([rng.randint(2, 20) for _ in range(50)], HIDDEN, batch_tokens=64)
    made = write(tmp_path / "states", layout)
    assert (tmp_path / "states").stat().st_size == layout.bytes == 4 * HIDDEN * sum(layout.lengths)
    states = StateFile(tmp_path / "states", layout)
    (tmp_path / "states").unlink()
    for _ in range(20):
        indices = rng.sample(range(50), 6)
        width = max(layout.lengths[index] for index in indices)
        padded = states.padded(indices, width)
        assert padded.shape == (6, width, HIDDEN)
        for row, index in zip(padded, indices, strict=True):
            assert torch.equal(row[: layout.lengths[index]], made[index])
            assert not row[layout.lengths[index] :].any()


@pytest.mark.parametrize("size", [0, 95, 97])
def test_a_file_of_another_size_is_refused(size: int, tmp_path: Path) -> None:
    layout = StateLayout([1, 2], HIDDEN, batch_tokens=64)
    assert layout.bytes == 96
    (tmp_path / "states").write_bytes(b"\0" * size)
    with pytest.raises(OSError, match="instead of 96"):
        StateFile(tmp_path / "states", layout)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="pages cannot be given back here")
def test_what_was_read_is_not_held(tmp_path: Path) -> None:
    layout = StateLayout([64] * 1000, 256, batch_tokens=4096)
    write(tmp_path / "states", layout)
    assert layout.bytes > 60e6
    states = StateFile(tmp_path / "states", layout)
    before = psutil.Process().memory_info().rss
    for start in range(0, 1000, 10):
        states.padded(range(start, start + 10), 64)
    assert psutil.Process().memory_info().rss - before < 20e6
