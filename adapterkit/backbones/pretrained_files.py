"""An adapter of the backbone as an AdapterHub adapter folder, written and read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from adapters.configuration.model_adapters_config import build_full_config

from adapterkit.backbones.canonical import pretrained_tensors
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.folder_layout import (
    ADAPTER_CONFIG_FILE,
    ADAPTER_PREFIX,
    ADAPTER_WEIGHTS_FILE,
)
from adapterkit.backbones.pretrained import FORMS, Pretrained
from adapterkit.backbones.safety import read_json
from adapterkit.backbones.tensors import (
    as_float32,
    check_shapes,
    read_safetensors,
    write_safetensors,
)
from adapterkit.runs.atomic import write_json
from adapterkit.runs.errors import UserError


def write_pretrained(
    model: Any, name: str, directory: Path, dtype: torch.dtype | None = None
) -> None:
    """Write an adapter of the backbone so that AdapterHub's ``load_adapter`` reads it too.

    Args:
        model: A `RecursiveAdapterModel` with that adapter.
        name: One of `FORMS`.
        directory: A folder that does not exist yet.
        dtype: Precision to store; ``None`` keeps the model's.

    Raises:
        UserError: The adapter is not of the form its name stands for, or the disk refuses.
    """
    config = model.adapters_config.get(name)
    if FORMS[name].size_of(config.to_dict(), model.config.num_hidden_layers) is None:
        raise UserError(
            f"The adapter named {name!r} is not a {FORMS[name].words}.",
            hint="give a task adapter another name",
        )
    full = build_full_config(
        config, model.config, model_name="", name=name, model_class=type(model).__name__
    )
    tensors = {
        ADAPTER_PREFIX + key: tensor if dtype is None else tensor.to(dtype)
        for key, tensor in pretrained_tensors(model, name).items()
    }
    directory.mkdir(parents=True)
    write_json(directory / ADAPTER_CONFIG_FILE, full)
    write_safetensors(directory / ADAPTER_WEIGHTS_FILE, tensors)


def read_all_pretrained(directory: Path, config: RecursiveConfig) -> dict[str, Pretrained]:
    """The adapters in a backbone's folder, by name.

    Raises:
        UserError: One is damaged, or not of the form its name stands for.
    """
    return {
        name: read_pretrained(name, directory / name, config)
        for name in FORMS
        if (directory / name).is_dir()
    }


def read_pretrained(name: str, directory: Path, config: RecursiveConfig) -> Pretrained:
    """The size and the float32 tensors, named as in a `RecursiveModel`.

    Args:
        name: One of `FORMS`.
        directory: A folder that `write_pretrained` wrote.
        config: The backbone's configuration.

    Raises:
        UserError: The adapter is damaged, or not one of that form for so many steps.
    """
    path, form, steps = directory / ADAPTER_CONFIG_FILE, FORMS[name], config.num_hidden_layers
    described = read_json(path).get("config")
    size = form.size_of(described, steps) if isinstance(described, dict) else None
    if size is None:
        raise UserError(
            f"The folder holds no {form.words} for this backbone.",
            where=f"{path}: config",
            allowed=f"the configuration of a {form.words} of {steps} steps",
        )
    weights = directory / ADAPTER_WEIGHTS_FILE
    expected = form.shapes(config, size)
    check_shapes(weights, {ADAPTER_PREFIX + key: shape for key, shape in expected.items()})
    tensors = as_float32(weights, read_safetensors(weights))
    return size, {key.removeprefix(ADAPTER_PREFIX): value for key, value in tensors.items()}
