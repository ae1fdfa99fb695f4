"""Writing a recursive backbone as a plain ALBERT that stock transformers and adapters load."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from adapterkit.backbones.canonical import state_shapes
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.factorised.modules import FactorisedEmbedding, FactorisedLinear
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.folder_layout import (
    ADAPTER_CONFIG_FILE,
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
)
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.loading import Backbone
from adapterkit.backbones.lora_layers import StepLoRALinear
from adapterkit.backbones.model import RecursiveModel
from adapterkit.backbones.pretrained_files import write_pretrained
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.backbones.safety import read_json
from adapterkit.backbones.tensors import write_safetensors
from adapterkit.runs.atomic import atomic_directory, disk_errors, write_json
from adapterkit.runs.errors import UserError

_ALBERT_KEYS = (
    "vocab_size",
    "embedding_size",
    "hidden_size",
    "num_hidden_layers",
    "num_hidden_groups",
    "inner_group_num",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "initializer_range",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout_prob",
    "hidden_act",
    "position_embedding_type",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
)
_MAPPING = "encoder.embedding_hidden_mapping_in"


def export_albert(backbone: Backbone, path: str | Path) -> tuple[str, ...]:
    """Write `backbone` as an ALBERT with one layer group per recursion step.

    Stock ALBERT cannot share parameters between groups, so every step's block is written in full.
    Low-rank updates of single steps are merged into them. The layer-wise adapter is written beside
    it as an AdapterHub folder.

    Args:
        backbone: The backbone.
        path: A folder that does not exist yet, or is empty. It appears whole or not at all.

    Returns:
        Notes on what stock ALBERT does differently.

    Raises:
        UserError: The backbone has an adapter in front of step 0, for which ALBERT has no place,
            or the path cannot be written.
    """
    model, config = backbone.model, backbone.model.config
    if config.embedding_adapter_size is not None:
        raise UserError(
            "This backbone cannot be written as a plain ALBERT.",
            where=backbone.id,
            found="an adapter between the embedding projection and step 0 (att_adapters.0)",
            allowed="backbones without one",
            hint="keep it as a backbone folder; adapterkit loads that on any machine",
        )
    tensors, notes = _tensors(model.albert, config)
    with atomic_directory(path) as directory:
        write_json(directory / CONFIG_FILE, _config(config))
        write_safetensors(directory / WEIGHTS_FILE, tensors)
        if backbone.has_layerwise:
            _write_layerwise(model, directory / LAYERWISE)
            notes += (_EPSILON_NOTE,)
        with disk_errors(directory):
            backbone.tokenizer.save_pretrained(str(directory))
        card = {"exported_from": fingerprint(model), "notes": list(notes)}
        write_json(directory / CARD_FILE, card)
    return notes


_RELAXED_NOTE = (
    "The low-rank updates of relaxed recursion are part of each step's matrices: no two steps hold "
    "the same ones any more."
)

_FACTORS_NOTE = (
    "Stock ALBERT has no factorised weights: every matrix was multiplied out, at its full size."
)

_EPSILON_NOTE = (
    "The layer-wise adapter is in `layerwise/`: load it with load_adapter and activate it. Stock "
    "AdapterHub gives its LayerNorms an epsilon of 1e-5, not the backbone's: set `eps` of "
    "every adapter_norm_after for equal outputs."
)


def _config(config: RecursiveConfig) -> dict[str, Any]:
    described = {key: getattr(config, key) for key in _ALBERT_KEYS}
    return {"model_type": "albert", "architectures": ["AlbertModel"], **described}


def _tensors(
    base: RecursiveModel, config: RecursiveConfig
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    # A model built afresh has no adapters, so its names are those of the backbone alone.
    names = state_shapes(RecursiveModel, _without_factors(config))
    state = base.state_dict() | _materialised(base)
    # Copies, because a file holds no tensor twice under one memory.
    tensors = {name: state[name].clone() for name in names}
    notes: tuple[str, ...] = (_FACTORS_NOTE,) if config.factorised else ()
    if updated := _relaxed_weights(base):
        tensors |= updated
        notes += (_RELAXED_NOTE,)
    hidden = config.hidden_size
    if not config.embedding_projection:
        tensors |= {
            f"{_MAPPING}.weight": torch.eye(hidden),
            f"{_MAPPING}.bias": torch.zeros(hidden),
        }
        notes += ("ALBERT always projects embeddings: an identity matrix was written.",)
    if not config.use_pooler:
        tensors |= {"pooler.weight": torch.eye(hidden), "pooler.bias": torch.zeros(hidden)}
        notes += (
            "The backbone has no pooler: an identity matrix was written, so ALBERT's pooled output "
            "is the tanh of the first token's state.",
        )
    return tensors, notes


def _without_factors(config: RecursiveConfig) -> RecursiveConfig:
    dense = copy.deepcopy(config)
    dense.factorised, dense.pruned = {}, {}
    dense.tied = "none" if dense.tied == "central" else dense.tied
    return dense


@torch.no_grad()
def _materialised(base: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The matrices that are stored as factors."""
    return {
        f"{name}.weight": module.weight
        for name, module in base.named_modules()
        if isinstance(module, FactorisedLinear | FactorisedEmbedding)
    }


def _relaxed_weights(base: Any) -> dict[str, torch.Tensor]:
    """The matrices that low-rank updates of a step belong to, with these in them."""
    return {
        f"{name}.weight": (module.weight + module.loras[RELAXED].delta_w).detach()
        for name, module in base.named_modules()
        if isinstance(module, StepLoRALinear) and RELAXED in module.loras
    }


def _write_layerwise(model: Any, directory: Path) -> None:
    write_pretrained(model, LAYERWISE, directory)
    described = read_json(directory / ADAPTER_CONFIG_FILE)
    described |= {"model_type": "albert", "model_class": "AlbertAdapterModel"}
    write_json(directory / ADAPTER_CONFIG_FILE, described)
