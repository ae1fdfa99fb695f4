"""Arithmetic of pruning by magnitude: which entries are kept, and how they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import prod

import torch
from torch import Tensor


def magnitude_masks(tensors: Mapping[str, Tensor], keep: float) -> dict[str, Tensor]:
    """Masks of the largest entries of all tensors together.

    Args:
        tensors: What is pruned, in a fixed order.
        keep: The part that is kept, 0 to 1; ``round(keep * entries)`` are.

    Raises:
        ValueError: `keep` is no such part, or an entry is not a number.
    """
    if not 0 <= keep <= 1:
        raise ValueError(f"The part to keep has to be from 0 to 1, not {keep}.")
    return masks_of_count(tensors, round(keep * sum(t.numel() for t in tensors.values())))


@torch.no_grad()
def masks_of_count(tensors: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Masks (bool, True where an entry is kept) of the `count` entries of largest magnitude.

    Of equal entries those that come first are kept: first in the order of `tensors`, then of rows.

    Raises:
        ValueError: There are fewer entries than that, or one is not a number.
    """
    sizes = [tensor.numel() for tensor in tensors.values()]
    if not 0 <= count <= sum(sizes):
        raise ValueError(f"{count:,} of {sum(sizes):,} entries cannot be kept.")
    if not sizes:
        return {}
    dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors.values()))
    sized = torch.cat([tensor.abs().to(dtype).reshape(-1) for tensor in tensors.values()])
    if bool(sized.isnan().any()):
        raise ValueError("An entry to be pruned is not a number.")
    kept = _largest(sized, count)
    pieces = zip(tensors.items(), torch.split(kept, sizes), strict=True)
    return {name: piece.reshape(tensor.shape).clone() for (name, tensor), piece in pieces}


def pack(tensor: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """A pruned tensor as what is left of it and one bit an entry.

    Args:
        tensor: Any shape.
        mask: Bool, of the same shape, True where an entry is kept.

    Returns:
        The kept entries, row by row, and the mask as uint8: entry i is bit ``i % 8``, counted from
        the lowest, of byte ``i // 8``; bits behind the last entry are 0.

    Raises:
        ValueError: The mask is not bool or has another shape.
    """
    if mask.dtype != torch.bool or mask.shape != tensor.shape:
        raise ValueError(
            f"A mask of {list(tensor.shape)} has to be bool and of that shape, "
            f"not {mask.dtype} of {list(mask.shape)}."
        )
    flat = mask.reshape(-1)
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % 8)).reshape(-1, 8)
    return tensor[mask], (padded * _weights(mask.device)).sum(1, dtype=torch.uint8)


def unpack(values: Tensor, bits: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The inverse of `pack`: the tensor, zero where it was pruned, and its mask.

    Raises:
        ValueError: The three contradict each other.
    """
    count = prod(shape)
    if bits.dtype != torch.uint8 or tuple(bits.shape) != (-(-count // 8),):
        raise ValueError(
            f"The mask of {list(shape)} has to be {-(-count // 8):,} bytes, "
            f"not {bits.dtype} of {list(bits.shape)}."
        )
    every = (bits[:, None] & _weights(bits.device)).ne(0).reshape(-1)
    mask = every[:count].reshape(tuple(shape))
    kept = int(mask.sum())
    if bool(every[count:].any()):
        raise ValueError(f"The mask of {list(shape)} keeps entries behind the last one.")
    if tuple(values.shape) != (kept,):
        raise ValueError(f"The mask keeps {kept:,} entries, but there are {list(values.shape)}.")
    tensor = torch.zeros(tuple(shape), dtype=values.dtype, device=values.device)
    tensor[mask] = values
    return tensor, mask


def _largest(sized: Tensor, count: int) -> Tensor:
    """Where the `count` largest of non-negative numbers are; of equal ones the first."""
    if not count:
        return torch.zeros_like(sized, dtype=torch.bool)
    threshold = sized.kthvalue(len(sized) - count + 1).values
    above, level = sized > threshold, sized == threshold
    return above | (level & (level.cumsum(0) <= count - above.sum()))


def _weights(device: torch.device) -> Tensor:
    return 2 ** torch.arange(8, dtype=torch.uint8, device=device)
