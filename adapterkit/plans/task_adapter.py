"""Task adapters: from a plan's choice to an AdapterHub adapter at the right steps."""

from __future__ import annotations

from typing import Any

from adapters import ADAPTER_CONFIG_MAP, AdapterConfig, BnConfig, ConfigUnion
from adapters.configuration import LoRAConfig, PrefixTuningConfig, ReftConfig

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.plans.adapter_table import ADAPTER_SPECS
from adapterkit.plans.choice import Choice
from adapterkit.plans.mechanism import Site
from adapterkit.plans.mistakes import say_steps
from adapterkit.plans.options import OptionValue
from adapterkit.plans.parts import has_layerwise
from adapterkit.plans.stacking import members, sequence_parallel, stackable
from adapterkit.runs.errors import UserError


def task_adapter_config(
    choice: Choice, steps: tuple[int, ...], total: int, on_layerwise: bool
) -> AdapterConfig:
    """The AdapterHub configuration of a choice.

    Args:
        choice: An adapter with its options.
        steps: The steps that get it.
        total: Number of recursion steps of the backbone.
        on_layerwise: Whether the backbone has pretrained layer-wise adapters.
    """
    assert choice.config is not None
    parts = members(ADAPTER_CONFIG_MAP[choice.config])
    changes: list[dict[str, Any]] = [_placement(part, steps, total) for part in parts]
    spec = ADAPTER_SPECS[choice.config]
    for name, value in choice.options:
        option = spec.option(name)
        assert option is not None
        index, _, field = option.field.rpartition(".")
        changes[int(index or 0)][field] = _as_adapterhub(field, value)
    parts = [part.replace(**change) for part, change in zip(parts, changes, strict=True)]
    parts = [_without_idle_unit(part) for part in parts]
    config = parts[0] if len(parts) == 1 else ConfigUnion(*parts)
    return stackable(config, steps, total) if on_layerwise else config


def check_task_adapter(model: RecursiveAdapterModel, site: Site) -> None:
    """Check that the adapter's sizes suit the backbone's.

    Raises:
        UserError: It does not; says which option to change.
    """
    config = model.config
    width, inner = config.hidden_size, config.intermediate_size
    longest = config.max_position_embeddings
    adapter = task_adapter_config(site.choice, site.steps, config.num_hidden_layers, False)
    for part in members(adapter):
        if isinstance(part, BnConfig):
            # Compared as floats: the quotient may be beyond what an int can be made of.
            if width / part.reduction_factor > inner:
                least = f"r={width / inner:g} or more"
                raise _too_large(site, "bottleneck", "feed-forward", part.reduction_factor, least)
            if part.phm_layer:
                _check_kronecker(part, width, site)
        if isinstance(part, LoRAConfig | ReftConfig) and part.r > width:
            raise _too_large(site, "rank", "width", part.r, f"1 to {width}")
        if isinstance(part, PrefixTuningConfig) and part.prefix_length > longest:
            raise _too_large(site, "prefix", "longest text", part.prefix_length, f"1 to {longest}")


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


def _too_large(site: Site, what: str, limit: str, found: float, allowed: str) -> UserError:
    return UserError(
        f"The {what} of {site.choice} is larger than the backbone's {limit}.",
        where=f"steps {say_steps(site.steps)}",
        found=str(found),
        allowed=allowed,
    )


def _check_kronecker(part: BnConfig, width: int, site: Site) -> None:
    units = max(1, int(width // part.reduction_factor))
    if width % part.phm_dim == 0 and units % part.phm_dim == 0:
        return
    fitting = [
        f"r={width // units}"
        for units in range(part.phm_dim, width + 1, part.phm_dim)
        if width % units == 0
    ]
    raise UserError(
        f"{site.choice} does not fit a backbone of width {width}.",
        where=f"steps {say_steps(site.steps)}",
        found=f"a bottleneck of {units} units, and phm_dim={part.phm_dim}",
        allowed=f"width and units that phm_dim={part.phm_dim} divides",
        hint=f"try {' or '.join(fitting[:4])}" if fitting else "try another phm_dim",
    )
