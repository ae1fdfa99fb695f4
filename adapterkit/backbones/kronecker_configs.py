"""Configurations of the Kronecker adapters, which AdapterHub does not have.

They are AdapterHub's own with one field more, and are saved in its format. Their ``architecture``
is none that stock AdapterHub knows: it refuses to load what was saved, with a ``KeyError`` of that
name, and does not take it for LoRA or for a plain bottleneck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters import AdapterConfig, ConfigUnion, LoRAConfig, SeqBnConfig

KRONA, ADAKRON = "krona", "adakron"


@dataclass(eq=False)
class KronaConfig(LoRAConfig):  # type: ignore[misc]
    """A Kronecker product as the update of matrices; see `KroneckerLoRA`.

    Only models of adapterkit compute it. It reads LoRA's fields, except that no rank is chosen:
    with ``r`` 1 the update is scaled by ``alpha``. Gates and DoRA's magnitudes it has none of.

    Args:
        factor: Rows and columns of the first factor; divides those of the matrices.
    """

    architecture: str | None = KRONA
    r: int = 1
    alpha: float = 1
    factor: int = 16


@dataclass(eq=False)
class AdakronConfig(SeqBnConfig):  # type: ignore[misc]
    """A bottleneck that ends in a Kronecker product of two outputs; see `KroneckerUp`.

    Only models of adapterkit compute it.

    Args:
        factor: Width of the first of the two outputs; divides the backbone's width.
    """

    architecture: str | None = ADAKRON
    factor: int = 16


KRONECKER_CONFIGS: dict[str, AdapterConfig] = {KRONA: KronaConfig(), ADAKRON: AdakronConfig()}
"""The configurations by the names that plans have for them."""


class OpenUnion(ConfigUnion):  # type: ignore[misc]
    """A union that may have Kronecker adapters for members."""

    @staticmethod
    def _get_config_class(config_dict: Mapping[str, Any]) -> Any:
        own = KRONECKER_CONFIGS.get(str(config_dict.get("architecture")))
        return type(own) if own else AdapterConfig._get_config_class(config_dict)


def read_config(config: Any) -> Any:
    """What a saved configuration says, read by the class that knows it.

    Args:
        config: Anything that AdapterHub takes for one: a name, a mapping, or an object.
    """
    if not isinstance(config, Mapping) or isinstance(config, AdapterConfig):
        return config
    if config.get("architecture") == ConfigUnion.architecture:
        return OpenUnion.from_dict(config)
    own = KRONECKER_CONFIGS.get(str(config.get("architecture")))
    return type(own).from_dict(config) if own else config
