"""What the steps share, in words."""

from __future__ import annotations

from typing import Any

import pytest

from adapterkit.backbones.sharing import sharing

from .conftest import small_config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "one block for all 4 steps"),
        ({"block_of_step": [0, 0, 2, 2]}, "2 blocks for 4 steps"),
        ({"tied": "matrices"}, "one block for all 4 steps; biases and LayerNorms are each step's"),
        ({"tied": "none"}, "nothing: every one of the 4 steps has a block of its own"),
        ({"block_of_step": [0, 1, 2, 3]}, "nothing: every one of the 4 steps has a block"),
        ({"own_parameters": ["1.ffn.weight"]}, "one block for all 4 steps; 1 weights are single"),
    ],
)
def test_sharing(changes: dict[str, Any], words: str) -> None:
    assert sharing(small_config(**changes)).startswith(words)
