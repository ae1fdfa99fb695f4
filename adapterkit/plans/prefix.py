"""Which leading recursion steps a plan leaves constant, and whether their states can be kept."""

from __future__ import annotations

from typing import Any

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.parts import HEADS, POOLER, SIDES, adapter_of, steps_by_storage
from adapterkit.plans.stacking import members


def frozen_prefix(applied: AppliedPlan) -> int:
    """The number of leading steps below everything that learns, 0 where embeddings learn too.

    It is told from the parameters themselves, wherever they are stored and shared.
    """
    model = applied.model
    used_by = steps_by_storage(model)
    adapters = {site.adapter: site.steps[0] for site in applied.sites if site.adapter}
    first: int = model.config.num_hidden_layers
    for name in applied.trainable:
        if name.startswith((HEADS, POOLER, SIDES)):
            continue
        # What the steps of an adapter share is kept outside of them.
        outside = adapters.get(adapter_of(model, name) or "", 0)
        first = min(first, used_by[name][0] if name in used_by else outside)
    return first


def set_frozen_prefix(applied: AppliedPlan) -> None:
    """Tell the model of `applied` which steps are constant; see `RecursiveModel`."""
    applied.model.base_model.frozen_prefix = frozen_prefix(applied)


def reads_padding(applied: AppliedPlan) -> tuple[str, ...]:
    """The choices whose adapters compute with the states of padding.

    AdapterHub's gates are means over all tokens of a text, padding included, so what they compute
    depends on the other texts of a batch, and on states that mean nothing.
    """
    return tuple(
        str(site.choice)
        for site in applied.sites
        if site.adapter is not None and _is_gated(applied.model, site.adapter)
    )


def _is_gated(model: RecursiveAdapterModel, adapter: str) -> bool:
    config: Any = model.adapters_config.get(adapter)
    return any(getattr(part, "use_gating", False) for part in members(config))
