"""The block's parameters in a layer of BERT."""

from __future__ import annotations

from torch import nn

BERT_MODULES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.dense": "attention.output.dense",
    "attention.LayerNorm": "attention.output.LayerNorm",
    "ffn": "intermediate.dense",
    "ffn_output": "output.dense",
    "full_layer_layer_norm": "output.LayerNorm",
}
"""ALBERT's names in the block, and the module of a BERT layer that holds the same tensors."""


def layer_name(name: str) -> str:
    """The name in a BERT layer of what the block calls `name`, one of `BLOCK_PARAMETERS`."""
    module, _, kind = name.rpartition(".")
    return f"{BERT_MODULES[module]}.{kind}"


def layer_parameter(layer: nn.Module, name: str) -> nn.Parameter:
    """The parameter of a BERT layer that the block calls `name`, one of `BLOCK_PARAMETERS`."""
    return layer.get_parameter(layer_name(name))


def layer_module(layer: nn.Module, name: str) -> nn.Module:
    """The module of a BERT layer that the block calls `name`, such as ``"ffn"``."""
    return layer.get_submodule(BERT_MODULES[name])
