"""Makes transformers' and AdapterHub's auto classes know the recursive models."""

from __future__ import annotations

import copy

import transformers
from adapters import AutoAdapterModel
from adapters.composition import SUPPORTED_MODELS
from adapters.head_utils import STATIC_TO_FLEX_HEAD_MAP
from adapters.wrappers.configuration import CONFIG_CLASS_KEYS_MAPPING

from adapterkit.backbones.adapter_model import OF_THE_BACKBONE, RecursiveAdapterModel
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.model import STATIC_HEADS, RecursiveModel


def register() -> None:
    """Register the recursive classes wherever ALBERT's are known; calling it twice is harmless."""
    model_type = RecursiveConfig.model_type
    transformers.AutoConfig.register(model_type, RecursiveConfig, exist_ok=True)
    transformers.AutoModel.register(RecursiveConfig, RecursiveModel, exist_ok=True)
    for albert_name, recursive in STATIC_HEADS.items():
        auto = getattr(transformers, albert_name.replace("Albert", "AutoModel"))
        auto.register(RecursiveConfig, recursive, exist_ok=True)
        flexible = copy.deepcopy(STATIC_TO_FLEX_HEAD_MAP[albert_name])
        if flexible["config"]["head_type"] == "masked_lm":
            flexible["config"]["activation_function"] = OF_THE_BACKBONE
        STATIC_TO_FLEX_HEAD_MAP[recursive.__name__] = flexible
    AutoAdapterModel.register(RecursiveConfig, RecursiveAdapterModel, exist_ok=True)
    CONFIG_CLASS_KEYS_MAPPING[model_type] = CONFIG_CLASS_KEYS_MAPPING["albert"]
    for models in SUPPORTED_MODELS.values():
        if "albert" in models and model_type not in models:
            models.append(model_type)


register()
