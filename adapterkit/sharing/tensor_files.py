"""Tensor files of a package, checked by their headers and numbers before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adapterkit.backbones.headers import StoredTensor, read_header
from adapterkit.runs.errors import UserError

_CHUNK = 1 << 22
_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}
_BF16_EXPONENT = 0x7F80
_LARGEST_NAME = 300


def check_tensor_file(path: Path) -> dict[str, StoredTensor]:
    """Check that a safetensors file is whole and holds finite floating-point numbers alone.

    Nothing is allocated that the file itself does not hold; numbers are read in pieces.

    Returns:
        Its tensors by name.

    Raises:
        UserError: It is damaged, cut short or of another format, or a number is not finite.
    """
    header = read_header(path)
    if header is None or any(_is_odd(name, tensor) for name, tensor in header.items()):
        raise UserError(
            "The tensor file is damaged, or no safetensors file.",
            where=str(path),
            allowed="a safetensors file of floating-point tensors",
            hint="fetch or pack it again",
        )
    with path.open("rb") as file:
        for name, tensor in header.items():
            file.seek(tensor.start)
            left = tensor.stop - tensor.start
            while left:
                piece = file.read(min(_CHUNK, left))
                if not piece or not _is_finite(piece, tensor.dtype):
                    raise _not_finite(path, name)
                left -= len(piece)
    return header


def _is_odd(name: str, tensor: StoredTensor) -> bool:
    if not name.isascii() or not name.isprintable() or len(name) > _LARGEST_NAME:
        return True
    return any(type(size) is not int or size < 0 for size in tensor.shape)


def _is_finite(piece: bytes, dtype: str) -> bool:
    values = np.frombuffer(piece, _TYPES[dtype])
    if dtype == "BF16":
        return bool(((values & _BF16_EXPONENT) != _BF16_EXPONENT).all())
    return bool(np.isfinite(values).all())


def _not_finite(path: Path, name: str) -> UserError:
    return UserError(
        "A tensor holds values that are not finite numbers.",
        where=f"{path}: {name[:150]}",
        hint="the training diverged or the file is damaged; use another package",
    )
