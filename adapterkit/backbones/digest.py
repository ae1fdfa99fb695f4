"""The SHA-256 that a backbone's fingerprint is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

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


OPTIONAL_KEYS = ("factorised", "pruned")
"""Others that do; they count only where they are not empty, as in most backbones they are."""


def digest(config: Mapping[str, Any], arrays: Iterable[tuple[str, npt.NDArray[np.float32]]]) -> str:
    """The fingerprint of a backbone, as ``"sha256:..."``.

    Args:
        config: A value for each of `FUNCTION_KEYS`, and any of `OPTIONAL_KEYS`.
        arrays: Every tensor's name and values, by name, in C order.
    """
    found = hashlib.sha256(_function_of(config).encode())
    for name, values in arrays:
        found.update(f"\n{name} {tuple(values.shape)}\n".encode())
        found.update(values.reshape(-1).view("uint8").data)
    return f"sha256:{found.hexdigest()}"


def _function_of(config: Mapping[str, Any]) -> str:
    values = {key: config[key] for key in FUNCTION_KEYS}
    values |= {key: config[key] for key in OPTIONAL_KEYS if config.get(key)}
    # How the names are sorted does not matter, which ones are there does.
    values["own_parameters"] = sorted(values["own_parameters"])
    values["layer_norm_eps"] = float(values["layer_norm_eps"])
    return json.dumps(values, sort_keys=True)
