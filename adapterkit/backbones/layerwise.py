"""MiniALBERT's pretrained layer-wise adapters as a named AdapterHub adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters import BnConfig, ConfigUnion

LAYERWISE = "layerwise"
"""Name under which a backbone's pretrained layer-wise adapters are kept."""


def layerwise_config(steps: int, reduction_factor: float = 16) -> ConfigUnion:
    """The AdapterHub configuration that computes MiniALBERT's adapters (arXiv 2210.06425).

    An adapter is ``LayerNorm(up(gelu(down(x))) + x)``. ``mlp_adapters[i]`` stands behind the
    attention's LayerNorm of step i, ``att_adapters[i + 1]`` behind the feed-forward LayerNorm of
    step i; nothing stands behind the last step. ``att_adapters[0]`` is no part of this: it belongs
    to the embedding projection.

    Args:
        steps: Number of recursion steps.
        reduction_factor: Hidden width over bottleneck width.
    """
    from adapters import ConfigUnion

    return ConfigUnion(
        _behind_norm(reduction_factor, mh_adapter=True, leave_out=[]),
        _behind_norm(reduction_factor, mh_adapter=False, leave_out=[steps - 1]),
    )


def _behind_norm(reduction_factor: float, mh_adapter: bool, leave_out: list[int]) -> BnConfig:
    from adapters import BnConfig

    return BnConfig(
        mh_adapter=mh_adapter,
        output_adapter=not mh_adapter,
        reduction_factor=reduction_factor,
        non_linearity="gelu",
        ln_after=True,
        original_ln_before=True,
        original_ln_after=False,
        residual_before_ln=False,
        adapter_residual_before_ln=True,
        leave_out=leave_out,
    )
