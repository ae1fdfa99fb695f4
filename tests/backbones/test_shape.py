"""What sizes imply is what a model built from them holds."""

from __future__ import annotations

import math
from typing import Any

import pytest

from adapterkit.backbones.canonical import canonical_shapes, state_shapes
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.model import RecursiveModel
from adapterkit.backbones.shape import BackboneShape, stored_shapes
from adapterkit.backbones.tying import step_name, tied_names
from adapterkit.backbones.weights import KINDS, backbone_weights

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "embedding_size": 6,
    "hidden_size": 8,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 20,
    "type_vocab_size": 3,
}
KINDS_OF_BACKBONE: list[dict[str, Any]] = [
    {},
    {"tied": "matrices"},
    {"tied": "none"},
    {"block_of_step": [0, 1, 0, 1]},
    {"block_of_step": [0, 0, 2, 3], "tied": "matrices"},
    {"own_parameters": ["1.attention.query.weight", "3.ffn.bias"]},
    {"embedding_projection": False, "embedding_size": 8},
    {"embedding_adapter_size": 3},
    {"use_pooler": False},
    {"mlm_head": "miniALBERT"},
]


@pytest.mark.parametrize("options", KINDS_OF_BACKBONE, ids=str)
def test_stored_shapes_are_those_of_the_model(options: dict[str, Any]) -> None:
    config = RecursiveConfig(**{**SIZES, **options})
    shape = BackboneShape.of(config.to_dict(), None, None)
    copies = {step_name(entry) for entry in tied_names(config)}
    held = state_shapes(RecursiveModel, config)
    expected = {name: size for name, size in held.items() if name not in copies}
    assert stored_shapes(shape) == canonical_shapes(config) == expected
    weights = list(backbone_weights(shape))
    assert sum(w.learnable for w in weights) == sum(map(math.prod, expected.values()))
    assert {w.kind for w in weights} <= set(KINDS)


def test_what_a_configuration_leaves_out_has_the_default_of_its_class() -> None:
    required = {key: SIZES[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers")}
    required |= {"num_attention_heads": 2, "intermediate_size": 12}
    whole = BackboneShape.of(RecursiveConfig(**required).to_dict(), None, None)
    assert BackboneShape.of(required, None, None) == whole
