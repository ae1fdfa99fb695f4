"""The header of a safetensors file, read without loading any tensor.

The file begins with eight bytes, the little-endian length of a JSON object that gives each
tensor's type, shape and place (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

FLOAT_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
"""The types of tensors a backbone may have, and the bytes of one number."""

_LARGEST_HEADER = 16 << 20


@dataclass(frozen=True)
class StoredTensor:
    """Where a file holds a tensor.

    Args:
        dtype: Type of its numbers, one of `FLOAT_BYTES`.
        shape: Its shape.
        start: Offset of its first byte in the file.
        stop: Offset behind its last byte.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def read_header(path: Path) -> dict[str, StoredTensor] | None:
    """The tensors of a safetensors file by name.

    Returns:
        None where the file cannot be read, is damaged or cut short, or holds anything but
        floating-point numbers; loading it says what is wrong.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= _LARGEST_HEADER else None
        return _tensors(header, 8 + length, path.stat().st_size)
    except (OSError, ValueError, RecursionError, struct.error, KeyError, TypeError):
        return None


def _tensors(header: object, begin: int, size: int) -> dict[str, StoredTensor] | None:
    if not isinstance(header, dict):
        return None
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, stop = entry["data_offsets"]
        found[name] = StoredTensor(
            entry["dtype"], tuple(entry["shape"]), begin + start, begin + stop
        )
    reached = begin
    for tensor in sorted(found.values(), key=lambda tensor: (tensor.start, tensor.stop)):
        fits = tensor.stop - tensor.start == math.prod(tensor.shape) * FLOAT_BYTES[tensor.dtype]
        if tensor.start != reached or not fits:
            return None
        reached = tensor.stop
    return found if reached == size else None
