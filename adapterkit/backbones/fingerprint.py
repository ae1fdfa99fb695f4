"""A backbone's fingerprint: equal exactly where two backbones compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from adapterkit.backbones.canonical import base_of, canonical_tensors, pretrained_tensors
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.digest import FUNCTION_KEYS, OPTIONAL_KEYS, digest


def fingerprint(model: nn.Module) -> str:
    """The SHA-256 of what `model`'s backbone computes, as ``"sha256:..."``.

    Hashed are the configuration keys in `FUNCTION_KEYS` and `OPTIONAL_KEYS` and, in float32 and by
    name, every canonical tensor and those of the adapters that are part of the backbone. File
    layout, stored precision, device, other adapters and heads make no difference.

    Args:
        model: A `RecursiveModel`, or a model with heads over one.
    """
    tensors = {**canonical_tensors(model), **pretrained_tensors(model)}
    return fingerprint_of(base_of(model).config, tensors)


def fingerprint_of(config: RecursiveConfig, tensors: Mapping[str, torch.Tensor]) -> str:
    """The fingerprint of the backbone with this configuration and these canonical tensors."""
    values = {key: getattr(config, key) for key in (*FUNCTION_KEYS, *OPTIONAL_KEYS)}
    return digest(values, ((name, _array(tensors[name])) for name in sorted(tensors)))


def _array(tensor: torch.Tensor) -> Any:
    return tensor.to(device="cpu", dtype=torch.float32).contiguous().numpy()
