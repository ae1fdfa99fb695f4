"""Reading and writing tensor files strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from adapterkit.runs.atomic import write_bytes
from adapterkit.runs.errors import UserError

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a safetensors file.

    Raises:
        UserError: The file is missing, cut short, or not in this format.
    """
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from error


def check_shapes(path: Path, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Hold a safetensors file to `expected` by its header alone, before memory is taken.

    Raises:
        UserError: A tensor is missing, unexpected or of another shape; its name is in the message.
    """
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            found = {n: tuple(file.get_slice(n).get_shape()) for n in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from error
    compare_shapes(path, found, expected)


def compare_shapes(
    path: Path, found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    """Hold the tensors `found` in the file `path` to those `expected`.

    Raises:
        UserError: A tensor is missing, unexpected or of another shape; its name is in the message.
    """
    for problem, names in (
        ("The checkpoint lacks a tensor.", expected.keys() - found.keys()),
        ("The checkpoint has a tensor that does not belong to it.", found.keys() - expected.keys()),
    ):
        if names:
            raise UserError(problem, where=str(path), found=_listing(names))
    for name, shape in expected.items():
        if found[name] != shape:
            raise UserError(
                "A tensor has a shape that contradicts the configuration.",
                where=f"{path}: {name}",
                found=str(list(found[name])),
                allowed=str(list(shape)),
            )


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def as_float32(path: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors in float32.

    Raises:
        UserError: A tensor does not hold finite floating-point numbers; its name is in the message.
    """
    converted = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in _FLOATS:
            raise UserError(
                "A tensor does not hold floating-point numbers.",
                where=f"{path}: {name}",
                found=str(tensor.dtype),
                allowed=map(str, _FLOATS),
            )
        values = tensor.to(torch.float32)
        if not bool(torch.isfinite(values).all()):
            raise UserError(
                "A tensor holds values that are not finite numbers.",
                where=f"{path}: {name}",
                hint="the file is damaged or its training diverged; use another checkpoint",
            )
        converted[name] = values
    return converted


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write `tensors`, no two of which may share memory.

    Raises:
        UserError: The disk is full or the path cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, metadata={"format": "pt"}))


def unreadable(path: Path, error: Exception) -> UserError:
    """The error for a tensor file that cannot be read."""
    reason = "there is no such file" if not path.is_file() else _first_line(error)
    return UserError(
        "The tensor file cannot be read.",
        where=str(path),
        found=reason,
        hint="the file may be damaged or cut short; fetch or make it again",
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return re.sub(r"\s+", " ", lines[0])[:200] if lines else type(error).__name__


def _listing(names: set[str]) -> str:
    shown = sorted(names)
    rest = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(name[:150] for name in shown[:5]) + rest
