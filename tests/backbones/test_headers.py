"""The header of a safetensors file says where every tensor lies, or nothing."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from adapterkit.backbones.headers import read_header


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tensors = {
        "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "b": torch.ones(4, dtype=torch.bfloat16),
        "empty": torch.ones(0, 7, dtype=torch.float64),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    return tmp_path / "x.safetensors"


def test_every_tensor_is_found(path: Path) -> None:
    header = read_header(path)
    assert header is not None
    assert {name: tensor.shape for name, tensor in header.items()} == {
        "a": (2, 3),
        "b": (4,),
        "empty": (0, 7),
    }
    stored = path.read_bytes()[header["a"].start : header["a"].stop]
    assert struct.unpack("<6f", stored) == (0, 1, 2, 3, 4, 5)


def test_a_file_cut_short_or_too_long_says_nothing(path: Path) -> None:
    content = path.read_bytes()
    for damaged in (content[:-1], content + b"\0", content[:4], b""):
        path.write_bytes(damaged)
        assert read_header(path) is None
    assert read_header(path.parent / "none") is None


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]},
        {"dtype": "F32", "data_offsets": [0, 8]},
        [],
    ],
)
def test_a_header_that_contradicts_itself_says_nothing(tmp_path: Path, entry: object) -> None:
    header = json.dumps({"a": entry}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    assert read_header(path) is None
