"""The folder of an adapted model: AdapterHub's folders, a side path, and changed weights."""

from __future__ import annotations

from typing import Any

import torch
from adapters.configuration.model_adapters_config import build_full_config
from adapters.utils import (
    ADAPTERFUSION_CONFIG_NAME,
    CONFIG_NAME,
    HEAD_CONFIG_NAME,
    SAFE_ADAPTERFUSION_WEIGHTS_NAME,
    SAFE_HEAD_WEIGHTS_NAME,
    SAFE_WEIGHTS_NAME,
)

from adapterkit.backbones.pretrained import FORMS
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.parts import HEADS, adapter_of, side_of, steps_by_storage
from adapterkit.plans.shipped import shipped_tensors

HEAD_FOLDER = "head"
SIDE_FILE = "side.safetensors"
WEIGHTS_FILE = "weights.safetensors"
ADAPTER_WEIGHTS_FILE = SAFE_WEIGHTS_NAME
FUSION_CONFIG_FILE = ADAPTERFUSION_CONFIG_NAME
FUSION_WEIGHTS_FILE = SAFE_ADAPTERFUSION_WEIGHTS_NAME
FUSED_KEY = "adapter_names"
"""Where AdapterHub's configuration of a fusion has the adapters that it fuses."""


def tensor_files(applied: AppliedPlan) -> dict[str, dict[str, torch.Tensor]]:
    """The shipped tensors by the file that holds them, relative to the folder."""
    files: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in shipped_tensors(applied).items():
        files.setdefault(_file_of(applied, name), {})[name] = tensor
    return files


def config_files(applied: AppliedPlan) -> dict[str, dict[str, Any]]:
    """AdapterHub's configurations of the shipped adapters and head, by file."""
    model = applied.model
    folders = {file.split("/")[0] for file in tensor_files(applied) if "/" in file}
    configs = {}
    fusions = {site.adapter: site.fused for site in applied.fusing}
    for folder in sorted(folders - {HEAD_FOLDER}):
        if folder in fusions:
            fusion, _ = model.adapters_config.get_fusion(folder)
            config = _full_config(applied, folder, fusion) | {FUSED_KEY: list(fusions[folder])}
            configs[f"{folder}/{FUSION_CONFIG_FILE}"] = config
            continue
        config = _full_config(applied, folder, model.adapters_config.get(folder))
        if folder in FORMS:
            _leave_out_untrained(applied, folder, config["config"])
        configs[f"{folder}/{CONFIG_NAME}"] = config
    if HEAD_FOLDER in folders and applied.head is not None:
        head = model.heads[applied.head]
        configs[f"{HEAD_FOLDER}/{HEAD_CONFIG_NAME}"] = _full_config(
            applied, applied.head, head.config
        )
    return configs


def _file_of(applied: AppliedPlan, name: str) -> str:
    if name.startswith(HEADS):
        return f"{HEAD_FOLDER}/{SAFE_HEAD_WEIGHTS_NAME}"
    if side_of(name) is not None:
        return SIDE_FILE
    adapter = adapter_of(applied.model, name)
    if adapter in applied.model.adapters_config.fusions:
        return f"{adapter}/{FUSION_WEIGHTS_FILE}"
    return f"{adapter}/{SAFE_WEIGHTS_NAME}" if adapter is not None else WEIGHTS_FILE


def _full_config(applied: AppliedPlan, name: str, config: Any) -> dict[str, Any]:
    # The model's own name may be a path of the machine it was trained on.
    full: dict[str, Any] = build_full_config(
        config,
        applied.model.config,
        model_name=None,
        name=name,
        model_class=type(applied.model).__name__,
    )
    return full


def _leave_out_untrained(applied: AppliedPlan, adapter: str, config: dict[str, Any]) -> None:
    """The backbone's adapters are shipped only where they learned; the configuration says so."""
    used_by = steps_by_storage(applied.model)
    shipped = shipped_tensors(applied)
    learned = {
        step
        for name, steps in used_by.items()
        if name in shipped and adapter_of(applied.model, name) == adapter
        for step in steps
    }
    untrained = set(range(applied.model.config.num_hidden_layers)) - learned
    for member in config.get("configs", [config]):
        member["leave_out"] = sorted(untrained | set(member["leave_out"]))
