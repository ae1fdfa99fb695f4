"""Task adapters: from a plan's choice to an AdapterHub adapter at the right steps."""

from __future__ import annotations

from typing import Any

from adapters import ADAPTER_CONFIG_MAP, AdapterConfig, ConfigUnion
from adapters.configuration import ReftConfig

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.kronecker_configs import KRONECKER_CONFIGS
from adapterkit.plans.adapter_table import ADAPTER_SPECS
from adapterkit.plans.choice import Choice
from adapterkit.plans.mechanism import Site
from adapterkit.plans.options import OptionValue
from adapterkit.plans.parts import has_layerwise
from adapterkit.plans.stacking import members, sequence_parallel, stackable

CONFIGS: dict[str, AdapterConfig] = {**ADAPTER_CONFIG_MAP, **KRONECKER_CONFIGS}
"""AdapterHub's configurations and adapterkit's own, by the names that plans have for them."""


def task_adapter_config(
    choice: Choice, steps: tuple[int, ...], total: int, on_layerwise: bool
) -> AdapterConfig:
    """The configuration of a choice, as AdapterHub takes it.

    Args:
        choice: An adapter with its options.
        steps: The steps that get it.
        total: Number of recursion steps of the backbone.
        on_layerwise: Whether the backbone has pretrained layer-wise adapters.
    """
    assert choice.config is not None
    parts = members(CONFIGS[choice.config])
    changes: list[dict[str, Any]] = [_placement(part, steps, total) for part in parts]
    spec = ADAPTER_SPECS[choice.config]
    for name, value in choice.options:
        option = spec.option(name)
        assert option is not None
        changes[option.member][option.attribute] = _as_adapterhub(option.attribute, value)
    parts = [part.replace(**change) for part, change in zip(parts, changes, strict=True)]
    parts = [_without_idle_unit(part) for part in parts]
    config = parts[0] if len(parts) == 1 else ConfigUnion(*parts)
    return stackable(config, steps, total) if on_layerwise else config


def add_task_adapter(model: RecursiveAdapterModel, site: Site) -> None:
    """Add the adapter of `site` at its steps, and at no other."""
    on_layerwise = has_layerwise(model)
    total = model.config.num_hidden_layers
    config = task_adapter_config(site.choice, site.steps, total, on_layerwise)
    model.add_adapter(site.adapter, config=config)
    if on_layerwise:
        sequence_parallel(model, str(site.adapter))


def _placement(part: AdapterConfig, steps: tuple[int, ...], total: int) -> dict[str, Any]:
    if isinstance(part, ReftConfig):
        return {"layers": list(steps)}
    return {"leave_out": [step for step in range(total) if step not in steps]}


def _as_adapterhub(field: str, value: OptionValue) -> Any:
    if field == "attn_matrices":
        return list(str(value))
    # AdapterHub takes a scaling that is an int for the name of a learned one.
    if field == "scaling" and not isinstance(value, str):
        return float(value)
    return value


def _without_idle_unit(part: AdapterConfig) -> AdapterConfig:
    """AdapterHub gives suffixes a unit of their own even where there are none to adapt."""
    if isinstance(part, ReftConfig) and not (part.prefix_positions and part.suffix_positions):
        return part.replace(tied_weights=True)
    return part
