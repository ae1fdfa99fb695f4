"""Making a model from a configuration and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from transformers.modeling_utils import no_init_weights

from adapterkit.backbones import registration
from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.canonical import assign
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.pretrained import Pretrained, add_pretrained
from adapterkit.backbones.tying import block_parameters
from adapterkit.runs.errors import UserError

ATTENTION = ("sdpa", "eager")
"""Attention implementations a backbone can use."""


def make_config(values: Mapping[str, Any], path: Path) -> RecursiveConfig:
    """A configuration from `values` that `safety.read_config` checked.

    Raises:
        UserError: The values contradict each other.
    """
    known = {k: v for k, v in values.items() if k not in ("model_type", "architectures")}
    try:
        config = RecursiveConfig(**known)
    except ValueError as error:
        raise UserError(
            "The configuration contradicts itself.", where=str(path), found=str(error)
        ) from error
    for entry in config.own_parameters:
        step, _, name = entry.partition(".")
        in_range = step.isdecimal() and int(step) < config.num_hidden_layers
        if not in_range or name not in block_parameters(config):
            raise UserError(
                "A value cannot be used.",
                where=f"{path}: own_parameters",
                found=entry[:100],
                allowed="STEP.NAME of parameters of the block",
            )
    return config


def build_model(
    config: RecursiveConfig,
    tensors: Mapping[str, torch.Tensor],
    pretrained: Mapping[str, Pretrained] | None = None,
    attn_implementation: str = "sdpa",
) -> RecursiveAdapterModel:
    """A model in evaluation mode with these weights; the random state is left as it was.

    Args:
        config: The configuration.
        tensors: Every canonical tensor.
        pretrained: The adapters of the backbone, to add and activate.
        attn_implementation: ``"sdpa"`` or ``"eager"``.

    Raises:
        UserError: `attn_implementation` is unknown.
    """
    with torch.random.fork_rng(devices=[]):
        model = empty_model(RecursiveAdapterModel, config, attn_implementation)
        assign(model.albert, tensors)
        if pretrained:
            add_pretrained(model, pretrained)
    return cast(RecursiveAdapterModel, model.eval())


def empty_model(model_class: Any, config: RecursiveConfig, attn_implementation: str) -> Any:
    """A model whose weights hold nothing yet.

    Raises:
        UserError: `attn_implementation` is unknown.
    """
    if attn_implementation not in ATTENTION:
        raise UserError(
            "Unknown attention implementation.", found=repr(attn_implementation), allowed=ATTENTION
        )
    registration.register()
    config._attn_implementation = attn_implementation
    with no_init_weights():
        return model_class(config)
