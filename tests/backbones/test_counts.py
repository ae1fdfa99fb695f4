"""The parameter counts of the published MiniALBERT checkpoints, without allocating any of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.canonical import canonical_shapes
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.backbones.pretrained_shapes import layerwise_shapes

from .minialbert import Shape, base_tensors

DEAD_POOLER = 590_592
ADAPTERS = 912_960
# Vocabulary, embedding width, adapters; total of the published base model, pooler included.
PUBLISHED = {
    "bio-128": (28_996, 128, True, 12_468_032),
    "bio-128 without adapters": (28_996, 128, False, 11_555_072),
    "general-128": (30_522, 128, True, 12_663_360),
    "general-128 without adapters": (30_522, 128, False, 11_750_400),
    "bio-312": (28_996, 312, True, 18_039_552),
    "bio-312 without adapters": (28_996, 312, False, 17_126_592),
    "general-312": (30_522, 312, True, 18_515_664),
    "general-312 without adapters": (30_522, 312, False, 17_602_704),
    "bio-768": (28_996, 768, True, 31_256_640),
    "bio-768 without adapters": (28_996, 768, False, 30_343_680),
}
WITHOUT_POOLER = {
    "bio-128": 11_877_440,
    "bio-128 without adapters": 10_964_480,
    "general-128": 12_072_768,
    "general-128 without adapters": 11_159_808,
    "bio-312": 17_448_960,
    "bio-312 without adapters": 16_536_000,
    "general-312": 17_925_072,
    "general-312 without adapters": 17_012_112,
    "bio-768": 30_666_048,
    "bio-768 without adapters": 29_753_088,
}


def published_config(vocabulary: int, embedding: int, adapters: bool) -> RecursiveConfig:
    return RecursiveConfig(
        vocab_size=vocabulary,
        embedding_size=embedding,
        hidden_size=768,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=3072,
        embedding_projection=embedding != 768,
        embedding_adapter_size=48 if adapters else None,
        use_pooler=False,
    )


def meta_model(config: RecursiveConfig, adapters: bool) -> RecursiveAdapterModel:
    with torch.device("meta"):
        model = RecursiveAdapterModel(config)
        if adapters:
            model.add_adapter(LAYERWISE, config=layerwise_config(6))
    return model


def size(shapes: dict[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_backbone_has_as_many_parameters_as_published(name: str) -> None:
    vocabulary, embedding, adapters, total = PUBLISHED[name]
    config = published_config(vocabulary, embedding, adapters)
    stored = size(canonical_shapes(config))
    stored += size(layerwise_shapes(config, 16)) if adapters else 0
    assert stored == WITHOUT_POOLER[name] == total - DEAD_POOLER


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layout_has_as_many_parameters_as_published(name: str) -> None:
    vocabulary, embedding, adapters, total = PUBLISHED[name]
    shape = Shape(vocabulary, embedding, 768, 6, 12, 3072, 512, 16, adapters)
    assert sum(t.numel() for t in base_tensors(shape, device="meta").values()) == total


@pytest.mark.parametrize("name", ["bio-128", "bio-312 without adapters", "bio-768"])
def test_model_in_memory_has_no_more(name: str) -> None:
    vocabulary, embedding, adapters, total = PUBLISHED[name]
    model = meta_model(published_config(vocabulary, embedding, adapters), adapters)
    assert sum(parameter.numel() for parameter in model.parameters()) == total - DEAD_POOLER


def test_adapter_tuning_trains_what_the_paper_trains() -> None:
    model: Any = meta_model(published_config(28_996, 128, True), True)
    model.train_adapter(LAYERWISE)
    learning = sum(p.numel() for p in model.albert.parameters() if p.requires_grad)
    step_0 = sum(p.numel() for p in model.albert.encoder.embedding_adapter.parameters())
    assert step_0 == 76_080
    assert learning == 11 * 76_080
    assert learning + step_0 == ADAPTERS


def test_block_is_one_of_six() -> None:
    model = meta_model(published_config(28_996, 128, False), False)
    blocks = model.albert.encoder.blocks()
    assert sum(p.numel() for p in blocks[0].parameters()) == 7_087_872
    assert len({id(p) for block in blocks for p in block.parameters()}) == 16
