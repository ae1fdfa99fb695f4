"""A backbone's fingerprint: equal exactly where two backbones compute the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import nn

from adapterkit.backbones.canonical import base_of, canonical_tensors, pretrained_tensors
from adapterkit.backbones.config import RecursiveConfig

FUNCTION_KEYS = (
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
    "layer_norm_eps",
    "position_embedding_type",
    "pad_token_id",
    "block_of_step",
    "tied",
    "own_parameters",
    "embedding_projection",
    "embedding_adapter_size",
    "use_pooler",
)
"""Configuration keys that change what is computed and that the tensors' shapes do not show."""


def fingerprint(model: nn.Module) -> str:
    """The SHA-256 of what `model`'s backbone computes, as ``"sha256:..."``.

    Hashed are the configuration keys in `FUNCTION_KEYS` and, in float32 and by name, every
    canonical tensor and those of the adapters that are part of the backbone. File layout, stored
    precision, device, other adapters and heads make no difference.

    Args:
        model: A `RecursiveModel`, or a model with heads over one.
    """
    tensors = {**canonical_tensors(model), **pretrained_tensors(model)}
    return fingerprint_of(base_of(model).config, tensors)


def fingerprint_of(config: RecursiveConfig, tensors: Mapping[str, torch.Tensor]) -> str:
    """The fingerprint of the backbone with this configuration and these canonical tensors."""
    digest = hashlib.sha256(_function_of(config).encode())
    for name in sorted(tensors):
        values = tensors[name].to(device="cpu", dtype=torch.float32).contiguous()
        digest.update(f"\n{name} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def _function_of(config: RecursiveConfig) -> str:
    values = {key: getattr(config, key) for key in FUNCTION_KEYS}
    # How the names are sorted does not matter, which ones are there does.
    values["own_parameters"] = sorted(config.own_parameters)
    values["layer_norm_eps"] = float(config.layer_norm_eps)
    return json.dumps(values, sort_keys=True)
