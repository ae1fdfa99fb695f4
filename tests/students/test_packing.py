from __future__ import annotations

import numpy as np
import pytest

from adapterkit.students.packing import Windows, cut

CLS, SEP, PAD = 101, 102, 0


@pytest.mark.parametrize("sizes", [[5], [30], [31], [32, 33, 61, 90, 91, 7], [1, 1, 400]])
def test_windows_cover_each_document_and_none_crosses(sizes: list[int]) -> None:
    ends = np.cumsum(sizes)
    begins = ends - sizes
    starts, lengths = cut(begins, ends, window=32)
    covered = np.zeros(sum(sizes), dtype=int)
    for start, length in zip(starts, lengths, strict=True):
        document = np.searchsorted(ends, start, side="right")
        assert begins[document] <= start
        assert start + length <= ends[document]
        assert length == min(sizes[document], 30), "full, unless the document is shorter"
        covered[start : start + length] += 1
    assert covered.min() == 1
    assert len(starts) == sum(-(-size // 30) for size in sizes)


def test_a_batch_holds_the_text_between_its_special_tokens() -> None:
    tokens = np.arange(1, 71, dtype=np.uint16)
    starts, lengths = cut(np.array([0, 3]), np.array([3, 70]), window=34)
    windows = Windows(tokens, starts, lengths, 34, CLS, SEP, PAD)
    assert len(windows) == 4
    assert windows.widths().tolist() == [32, 34, 34, 34]
    batch = windows.batch([0, 3])
    assert batch["input_ids"].shape == (2, 34)
    assert batch["input_ids"][0].tolist() == [CLS, 1, 2, 3, SEP] + [PAD] * 29
    assert batch["input_ids"][1].tolist() == [CLS, *range(39, 71), SEP]
    assert batch["attention_mask"].sum(1).tolist() == [5, 34]
    assert windows.batch([0], 32)["input_ids"].shape == (1, 32)
    assert windows.batch([0])["input_ids"].tolist() == [[CLS, 1, 2, 3, SEP]]
