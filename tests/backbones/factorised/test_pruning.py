"""Pruning by magnitude: the schedule, the masks, and the form in which they are stored."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from adapterkit.backbones.factorised.pruning import (
    magnitude_masks,
    masks_of_count,
    pack,
    unpack,
)
from tests.backbones.factorised.small import few, random, seeds


def _tensors(seed: int) -> dict[str, Tensor]:
    """Of few different values, so that there are ties."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"b": (4, 3), "a": (5,), "c": (2, 2, 2)}
    return {
        name: torch.randint(-3, 4, shape, generator=generator).float()
        for name, shape in shapes.items()
    }


@few
@given(seeds, st.floats(0, 1))
def test_the_largest_are_kept_and_of_equal_ones_the_first(seed: int, keep: float) -> None:
    """Against sorting every entry by its size and then by its place."""
    tensors = _tensors(seed)
    masks = magnitude_masks(tensors, keep)
    assert {name: mask.shape for name, mask in masks.items()} == {
        name: tensor.shape for name, tensor in tensors.items()
    }
    entries = [abs(v) for tensor in tensors.values() for v in tensor.reshape(-1).tolist()]
    places = sorted(range(25), key=lambda place: (-entries[place], place))
    expected = set(places[: round(keep * 25)])
    flags = [flag for mask in masks.values() for flag in mask.reshape(-1).tolist()]
    assert {place for place, flag in enumerate(flags) if flag} == expected


@pytest.mark.parametrize("count", [0, 1, 12, 25])
def test_exactly_as_many_are_kept_as_asked(count: int) -> None:
    masks = masks_of_count(_tensors(0), count)
    assert sum(int(mask.sum()) for mask in masks.values()) == count


def test_types_are_compared_by_their_values() -> None:
    tensors = {"half": torch.tensor([0.5, 2.0]).half(), "single": torch.tensor([1.0, 0.25])}
    masks = magnitude_masks(tensors, 0.5)
    assert masks["half"].tolist() == [False, True]
    assert masks["single"].tolist() == [True, False]


def test_masks_of_nothing() -> None:
    assert magnitude_masks({}, 0.5) == {}


@pytest.mark.parametrize("keep", [-0.1, 1.1, float("nan")])
def test_a_part_that_is_none_is_refused(keep: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        magnitude_masks(_tensors(0), keep)


def test_what_is_not_a_number_has_no_size() -> None:
    with pytest.raises(ValueError, match="not a number"):
        magnitude_masks({"a": torch.tensor([1.0, float("nan")])}, 0.5)
    with pytest.raises(ValueError, match="26 of 25"):
        masks_of_count(_tensors(0), 26)


@few
@given(st.lists(st.integers(0, 5), min_size=0, max_size=3), seeds, st.floats(0, 1))
def test_what_is_packed_is_unpacked_to_the_bit(shape: list[int], seed: int, keep: float) -> None:
    tensor = random(*shape, seed=seed).float() if shape else torch.tensor(1.5)
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(tensor.shape, generator=generator) < keep
    values, bits = pack(tensor, mask)
    assert (values.dim(), bits.dim()) == (1, 1)
    assert len(bits) == -(-tensor.numel() // 8)
    found, found_mask = unpack(values, bits, tensor.shape)
    assert torch.equal(found_mask, mask)
    assert torch.equal(found, torch.where(mask, tensor, 0.0))


def test_bits_are_counted_from_the_lowest() -> None:
    mask = torch.tensor([True, False, False, True, False, False, False, False, False, True])
    values, bits = pack(torch.arange(10.0), mask)
    assert values.tolist() == [0, 3, 9]
    assert bits.tolist() == [0b1001, 0b10]


def test_values_keep_their_type() -> None:
    values, bits = pack(torch.ones(3, 3).bfloat16(), torch.eye(3).bool())
    assert values.dtype == torch.bfloat16
    assert unpack(values, bits, (3, 3))[0].dtype == torch.bfloat16


def test_what_contradicts_itself_is_refused() -> None:
    values, bits = pack(torch.ones(3, 3), torch.eye(3).bool())
    with pytest.raises(ValueError, match=r"keeps 3 entries, but there are \[2\]"):
        unpack(values[:2], bits, (3, 3))
    with pytest.raises(ValueError, match="has to be 2 bytes"):
        unpack(values, bits[:1], (3, 3))
    with pytest.raises(ValueError, match=r"has to be 2 bytes, not torch\.int64"):
        unpack(values, bits.long(), (3, 3))
    with pytest.raises(ValueError, match="behind the last"):
        unpack(values, bits | 0b10000000, (3, 3))
    with pytest.raises(ValueError, match="keeps 3 entries"):
        unpack(values[None], bits, (3, 3))
    with pytest.raises(ValueError, match="has to be bool and of that shape"):
        pack(torch.ones(3, 3), torch.eye(3))
    with pytest.raises(ValueError, match="has to be bool and of that shape"):
        pack(torch.ones(3, 3), torch.ones(9).bool())
