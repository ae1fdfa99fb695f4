"""Writing a package of per-step LoRA as PEFT reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from adapterkit.backbones.tensors import write_safetensors
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.mechanism import Site
from adapterkit.plans.methods.low_rank import LowRank
from adapterkit.plans.mistakes import say_steps
from adapterkit.plans.parts import HEADS
from adapterkit.plans.shipped import shipped_tensors
from adapterkit.runs.atomic import atomic_directory, write_json, write_text
from adapterkit.runs.errors import UserError
from adapterkit.sharing.archive import opened
from adapterkit.sharing.loading import load_package
from adapterkit.sharing.locating import located
from adapterkit.sharing.manifest import PackageManifest
from adapterkit.sharing.peft.card import write_peft_card
from adapterkit.sharing.peft.files import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from adapterkit.sharing.peft.fitting import check_stock
from adapterkit.sharing.peft.layouts import (
    MATRICES,
    WRAPPED,
    StockLayout,
    stock_layout,
    update_place,
)
from adapterkit.sharing.peft.settings import HEAD_MODULE, LoraSettings
from adapterkit.sharing.verifying import verify_package

_Value = TypeVar("_Value", int, float)


@dataclass(frozen=True)
class PeftFolder:
    """What was written.

    Attributes:
        path: The folder.
        manifest: The package that it was made of.
        modules: The modules that have updates.
        model: The class in transformers that it is for.
    """

    path: Path
    manifest: PackageManifest
    modules: tuple[str, ...]
    model: str


def export_peft(
    source: str | Path,
    output: str | Path,
    *,
    layout: str = "albert",
    backbone: str | Path | None = None,
) -> PeftFolder:
    """Write a package as PEFT reads it: ``adapter_config.json`` and ``adapter_model.safetensors``.

    The tensors are the package's own, to the bit. On the stock model of the backbone, which is what
    `export_albert` writes or the BERT it was read from, PEFT computes the same logits with them.

    Args:
        source: A package, or the name of one that was pulled.
        output: A folder that does not exist yet or is empty. It appears whole or not at all.
        layout: The kind of stock model, one of `LAYOUTS`.
        backbone: Where the package's backbone is, if not where the package says.

    Raises:
        UserError: The package is not in order, or holds what PEFT's LoRA does not compute on a
            stock model; says what that is.
    """
    stock = stock_layout(layout)
    with opened(located(source)) as folder:
        manifest = verify_package(folder)
        loaded = load_package(folder, backbone=backbone)
    check_stock(loaded.backbone, loaded.task, stock)
    for site in loaded.applied.sites:
        _check_site(site, manifest)
    tensors = _tensors(loaded.applied, stock)
    settings = _settings(loaded.applied, stock)
    with atomic_directory(output) as target:
        write_json(target / CONFIG_FILE, settings.as_dict())
        write_safetensors(target / WEIGHTS_FILE, tensors)
        write_text(target / CARD_FILE, write_peft_card(manifest, stock))
    return PeftFolder(Path(output), manifest, settings.targets or (), stock.model)


def _check_site(site: Site, manifest: PackageManifest) -> None:
    if not site.choice.definition.learns:
        return
    method = site.choice.methods[0] if site.choice.config == "lora" else None
    if isinstance(method, LowRank) and not site.frozen:
        return
    raise UserError(
        "PEFT cannot compute this package: a step has something other than LoRA.",
        where=f"{manifest.name}: steps {say_steps(site.steps)}",
        found=f"{site.choice} ({site.choice.summary})",
        allowed="frozen, or adapter(lora) with any of its options",
        hint="PEFT's DoRA leaves biases as they are, AdapterHub's scales them"
        if site.choice.config == "dora"
        else None,
    )


def _tensors(applied: AppliedPlan, stock: StockLayout) -> dict[str, torch.Tensor]:
    tensors = {
        f"{WRAPPED}{module}.lora_{letter}.weight": tensor
        for (module, letter), tensor in _updates(applied, stock).items()
    }
    if not tensors:
        raise UserError(
            "PEFT cannot hold this package: no step has an update.",
            found=f"the plan {applied.plan}",
            allowed="a plan with adapter(lora) at some step",
        )
    for name, tensor in shipped_tensors(applied).items():
        if name.startswith(HEADS):
            tensors[f"{WRAPPED}{HEAD_MODULE}.{name.rpartition('.')[2]}"] = tensor
    return tensors


def _updates(applied: AppliedPlan, stock: StockLayout) -> dict[tuple[str, str], torch.Tensor]:
    """The matrices ``lora_A`` and ``lora_B`` by module and letter."""
    return {
        (stock.module(place[0], place[1]), place[2]): tensor
        for name, tensor in shipped_tensors(applied).items()
        if (place := update_place(name)) is not None
    }


def _settings(applied: AppliedPlan, stock: StockLayout) -> LoraSettings:
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    dropouts = set()
    for site in applied.sites:
        if site.adapter is None:
            continue
        config = applied.model.adapters_config.get(site.adapter)
        dropouts.add(float(config.dropout))
        for step in site.steps:
            for matrix in MATRICES.values():
                module = stock.module(step, matrix)
                ranks[module], alphas[module] = int(config.r), config.alpha
    adapted = tuple(dict.fromkeys(module for module, _ in _updates(applied, stock)))
    if len(dropouts) > 1:
        raise UserError(
            "PEFT has one dropout for all steps.",
            found=", ".join(map(str, sorted(dropouts))),
            allowed="the same dropout at every step that has LoRA",
        )
    rank, rank_pattern = _with_exceptions({module: ranks[module] for module in adapted})
    alpha, alpha_pattern = _with_exceptions({module: alphas[module] for module in adapted})
    return LoraSettings(
        rank=rank,
        alpha=alpha,
        targets=adapted,
        ranks=rank_pattern,
        alphas=alpha_pattern,
        dropout=dropouts.pop(),
    )


def _with_exceptions(values: Mapping[str, _Value]) -> tuple[_Value, dict[str, _Value]]:
    """The value that most modules have, and those of the others."""
    usual = _most_common(values.values())
    return usual, {module: value for module, value in values.items() if value != usual}


def _most_common(values: Iterable[_Value]) -> _Value:
    return Counter(values).most_common(1)[0][0]
