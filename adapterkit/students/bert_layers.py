"""The block's parameters in a layer of BERT."""

from __future__ import annotations

from torch import nn

# ALBERT's names in the block, and where a BERT layer holds the same tensor.
_BERT_NAMES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.dense": "attention.output.dense",
    "attention.LayerNorm": "attention.output.LayerNorm",
    "ffn": "intermediate.dense",
    "ffn_output": "output.dense",
    "full_layer_layer_norm": "output.LayerNorm",
}


def layer_parameter(layer: nn.Module, name: str) -> nn.Parameter:
    """The parameter of a BERT layer that the block calls `name`, one of `BLOCK_PARAMETERS`."""
    module, _, kind = name.rpartition(".")
    return layer.get_parameter(f"{_BERT_NAMES[module]}.{kind}")
