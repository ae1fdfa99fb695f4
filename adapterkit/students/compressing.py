"""Compressing a backbone: from its dense matrices to factors that start next to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.building import build_model
from adapterkit.backbones.canonical import base_of, canonical_tensors
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.factorised import arithmetic
from adapterkit.backbones.factorised.forms import Form, form_from
from adapterkit.backbones.factorised.places import TABLE
from adapterkit.backbones.factorised.pruning import magnitude_masks
from adapterkit.backbones.pruned import prune_factors
from adapterkit.backbones.saving import config_dict
from adapterkit.backbones.shape import BackboneShape
from adapterkit.backbones.tying import (
    BLOCK_PARAMETERS,
    FACTORS,
    LINEARS,
    block_parameters,
    iter_storage_names,
    step_name,
)
from adapterkit.students.compression import Compression
from adapterkit.students.compression_plan import Planned, plan_compression

if TYPE_CHECKING:
    from adapterkit.backbones.loading import Backbone

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Compressed:
    """A compressed backbone, before any training.

    Attributes:
        model: In evaluation mode.
        planned: Its form and size.
        errors: For each module whose matrix became factors, ``||W - W'|| / ||W||`` in Frobenius
            norm, where W is the source's matrix and W' what the factors multiply out to: one for
            each recursion step, and one for the embedding table.
    """

    model: RecursiveAdapterModel
    planned: Planned
    errors: Mapping[str, tuple[float, ...]]

    def as_dict(self) -> dict[str, Any]:
        """Size, cost and errors as plain values."""
        planned = self.planned
        return {
            "parameters": planned.parameters,
            "source_parameters": planned.source_parameters,
            "share": round(planned.parameters / planned.source_parameters, 4),
            "kept_by_pruning": round(planned.keep, 6),
            "flops_per_token": planned.flops_per_token,
            "source_flops_per_token": planned.source_flops_per_token,
            "reconstruction_errors": {
                name: [round(error, 4) for error in errors] for name, errors in self.errors.items()
            },
            "forms": {name: dict(form) for name, form in planned.shape.factorised.items()},
        }


def plan_for(backbone: Backbone, compression: Compression) -> Planned:
    """What `backbone` would become; see `compression_plan.plan_compression`.

    Raises:
        UserError: It is compressed already, or the target cannot be met.
    """
    config = backbone.model.config
    names = (field.name for field in fields(BackboneShape) if hasattr(config, field.name))
    # That there are adapters matters here, their sizes do not.
    shape = BackboneShape.of(
        {name: getattr(config, name) for name in names},
        layerwise=1.0 if backbone.has_layerwise else None,
        relaxed=1 if backbone.has_relaxed else None,
    )
    return plan_compression(shape, compression)


@torch.no_grad()
def compress(backbone: Backbone, compression: Compression, *, prune: bool = True) -> Compressed:
    """Write the matrices of a backbone as factors.

    Each matrix becomes the nearest of its form (`factorised.arithmetic.start`). A matrix product
    operator stands for the mean of the steps' matrices; its central tensor is shared by all steps,
    and the auxiliary tensors are copied to each (MPOBERT, arXiv 2303.16753). Biases and LayerNorms,
    which the steps share as well, are means too. That the mean is decomposed is our choice: the
    paper starts from an ALBERT, whose layers are one.

    Args:
        backbone: The source; it is left as it is.
        compression: How far, and how.
        prune: ``lada``: whether to prune at once. If not, `distil` can prune as it goes.

    Raises:
        UserError: The source is compressed already, or the target cannot be met.
    """
    planned = plan_for(backbone, compression)
    config = _config(backbone.model.config, planned.shape)
    source = canonical_tensors(backbone.model)
    tensors = {**_outside(source), **_table(source, config), **dict(_blocks(source, config))}
    if compression.method == "mpo" and compression.start == "stable":
        tensors |= _stable(tensors, config)
    model = build_model(config, tensors)
    if prune and planned.keep < 1:
        prune_to(model, planned.keep)
    return Compressed(model, planned, _errors(model, source))


@torch.no_grad()
def prune_to(model: nn.Module, keep: float) -> None:
    """Prune the factors of a model by magnitude, those of the embedding table by themselves.

    Args:
        model: Changed in place. What is pruned already stays so as long as `keep` does not rise.
        keep: Share of the numbers that is kept.
    """
    tensors = {n: t for n, t in canonical_tensors(model).items() if f".{FACTORS}." in n}
    table = {name: tensor for name, tensor in tensors.items() if name.startswith(TABLE)}
    block = {name: tensor for name, tensor in tensors.items() if name not in table}
    prune_factors(model, magnitude_masks(table, keep) | magnitude_masks(block, keep))


def _config(config: Any, shape: BackboneShape) -> RecursiveConfig:
    described = config_dict(config)
    kept = {k: v for k, v in described.items() if k not in ("model_type", "architectures")}
    changed = {
        "factorised": dict(shape.factorised),
        "tied": shape.tied,
        "block_of_step": list(shape.block_of_step),
    }
    return RecursiveConfig(**{**kept, **changed})


def _outside(source: Tensors) -> dict[str, torch.Tensor]:
    """What stays as it is: all that is neither in a block nor the embedding table."""
    in_blocks = step_name("0.").split("0", 1)[0]
    return {
        name: tensor
        for name, tensor in source.items()
        if not name.startswith((in_blocks, f"{TABLE}."))
    }


def _table(source: Tensors, config: RecursiveConfig) -> dict[str, torch.Tensor]:
    return _started(form_from(config.factorised[TABLE]), source[f"{TABLE}.weight"], TABLE)


def _blocks(source: Tensors, config: RecursiveConfig) -> Iterator[tuple[str, torch.Tensor]]:
    """Every parameter of the blocks that is stored, by its name in the model."""
    steps = range(config.num_hidden_layers)
    apart = len(set(config.block_of_step)) > 1
    dense = {
        name: torch.stack([source[step_name(f"{step}.{name}")] for step in steps])
        for name in BLOCK_PARAMETERS
    }
    if not apart:
        dense = {name: tensors.mean(0, keepdim=True) for name, tensors in dense.items()}
    stored = {step_name(f"{step}.{name}") for step, name in iter_storage_names(config)}
    for number in range(len(steps) if apart else 1):
        started = {name: tensors[number] for name, tensors in dense.items()}
        for module in LINEARS:
            form = form_from(config.factorised[module])
            started |= _started(form, started.pop(f"{module}.weight"), module)
        for step in [number] if apart else steps:
            for name in block_parameters(config):
                if (full := step_name(f"{step}.{name}")) in stored:
                    yield full, started[name]


def _started(form: Form, weight: torch.Tensor, module: str) -> dict[str, torch.Tensor]:
    factors = arithmetic.start(form, weight)
    return {f"{module}.{FACTORS}.{name}": factor for name, factor in factors.items()}


def _stable(tensors: Tensors, config: RecursiveConfig) -> dict[str, torch.Tensor]:
    """What a stable start changes; see `Compression.start`."""
    scale = (2 * config.num_hidden_layers) ** -0.25
    changed = {}
    for module in ("attention.value", "attention.dense", "ffn", "ffn_output"):
        *_, last = form_from(config.factorised[module]).factor_shapes()
        for step in range(config.num_hidden_layers):
            name = step_name(f"{step}.{module}.{FACTORS}.{last}")
            changed[name] = scale * tensors[name]
    return changed


def _errors(model: nn.Module, source: Tensors) -> dict[str, tuple[float, ...]]:
    base = base_of(model)
    errors: dict[str, tuple[float, ...]] = {TABLE: (_error(base, source, TABLE),)}
    for module in LINEARS:
        names = [step_name(f"{step}.{module}") for step in range(base.config.num_hidden_layers)]
        errors[module] = tuple(_error(base, source, name) for name in names)
    return errors


def _error(base: nn.Module, source: Tensors, name: str) -> float:
    factors: Any = base.get_submodule(f"{name}.{FACTORS}")
    return arithmetic.relative_error(factors.form, factors.values(), source[f"{name}.weight"])
