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

FUSION = "dynamic"
"""AdapterHub's name of the paper's fusion layer: with a value matrix, held near the identity."""


def task_adapter_config(
    choice: Choice,
    steps: tuple[int, ...],
    total: int,
    on_layerwise: bool,
    on_frozen: bool = False,
) -> AdapterConfig:
    """The configuration of a choice, as AdapterHub takes it.

    Args:
        choice: An adapter with its options.
        steps: The steps that get it.
        total: Number of recursion steps of the backbone.
        on_layerwise: Whether the backbone has pretrained layer-wise adapters.
        on_frozen: Whether an adapter of the same choice stands below it.
    """
    assert choice.config is not None
    parts = members(CONFIGS[choice.config])
    changes: list[dict[str, Any]] = [_placement(part, steps, total) for part in parts]
    spec = ADAPTER_SPECS[choice.config]
    for name, value in choice.config_options:
        option = spec.option(name)
        assert option is not None
        changes[option.member][option.attribute] = _as_adapterhub(option.attribute, value)
    parts = [part.replace(**change) for part, change in zip(parts, changes, strict=True)]
    parts = [_without_idle_unit(part) for part in parts]
    config = parts[0] if len(parts) == 1 else ConfigUnion(*parts)
    return stackable(config, steps, total, on_frozen) if on_layerwise else config


def add_task_adapter(model: RecursiveAdapterModel, site: Site) -> None:
    """Add the adapter of `site` at its steps, and at no other."""
    _add_adapter(model, site, str(site.adapter))
    if has_layerwise(model):
        sequence_parallel(model, str(site.adapter))


def add_fusion(model: RecursiveAdapterModel, site: Site) -> None:
    """Add the adapters that `site` fuses and its fusion layers at its steps, and at no other."""
    for name in site.fused:
        _add_adapter(model, site, name)
    model.add_adapter_fusion(list(site.fused), config=FUSION, name=site.adapter)


def add_stack(model: RecursiveAdapterModel, site: Site) -> None:
    """Add the frozen adapter of `site`, and the one on top of it, at its steps and at no other."""
    for name in site.frozen:
        _add_adapter(model, site, name)
    _add_adapter(model, site, str(site.adapter), on_frozen=True)


def _add_adapter(
    model: RecursiveAdapterModel, site: Site, name: str, on_frozen: bool = False
) -> None:
    total = model.config.num_hidden_layers
    config = task_adapter_config(
        site.choice, site.steps, total, has_layerwise(model), on_frozen=on_frozen
    )
    model.add_adapter(name, config=config)


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
