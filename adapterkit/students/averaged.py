"""A recursive student that starts as the average of its teacher's layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers import BertModel

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.students.corpus import Batch

# ALBERT's names in the block, and where a BERT layer holds the same tensor.
_BERT_NAMES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.dense": "attention.output.dense",
    "attention.LayerNorm": "attention.output.LayerNorm",
    "ffn": "intermediate.dense",
    "ffn_output": "output.dense",
    "full_layer_layer_norm": "output.LayerNorm",
}


def averaged_student(
    teacher: BertModel, embedding_size: int, reduction_factor: float
) -> RecursiveAdapterModel:
    """A student of the teacher's depth and width whose block is the mean of the teacher's layers.

    Embeddings are factorised by truncated SVD. The layer-wise adapters start with zero
    up-projections; their LayerNorms take over the gain and bias of the teacher's layer they stand
    in, so what a step owns is right from the start although its matrices are shared.

    Args:
        teacher: A BERT encoder.
        embedding_size: Width of the factorised embedding tables.
        reduction_factor: Hidden over bottleneck width of the layer-wise adapters.
    """
    source = teacher.config
    config = RecursiveConfig(
        vocab_size=source.vocab_size,
        embedding_size=embedding_size,
        hidden_size=source.hidden_size,
        num_hidden_layers=source.num_hidden_layers,
        num_attention_heads=source.num_attention_heads,
        intermediate_size=source.intermediate_size,
        max_position_embeddings=source.max_position_embeddings,
        type_vocab_size=source.type_vocab_size,
        hidden_act=source.hidden_act,
        layer_norm_eps=source.layer_norm_eps,
        use_pooler=False,
        pad_token_id=source.pad_token_id,
    )
    model = RecursiveAdapterModel(config)
    model.add_adapter(
        LAYERWISE, config=layerwise_config(config.num_hidden_layers, reduction_factor)
    )
    model.set_active_adapters(LAYERWISE)
    model.eval()
    with torch.no_grad():
        _factorise_embeddings(model, teacher)
        _average_block(model, teacher)
        _start_layerwise(model, teacher)
    return model


def _factorise_embeddings(model: RecursiveAdapterModel, teacher: BertModel) -> None:
    source: Any = teacher.embeddings
    target: Any = model.albert.embeddings
    table = source.word_embeddings.weight
    _, _, basis = torch.linalg.svd(table - table.mean(0), full_matrices=False)
    basis = basis[: model.config.embedding_size].T
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        weight: torch.Tensor = getattr(source, name).weight
        # LayerNorm follows the sum in the narrow space, so the scale is free; 1 keeps it tame.
        narrow = (weight - table.mean(0) if name == "word_embeddings" else weight) @ basis
        getattr(target, name).weight.copy_(narrow)


def _average_block(model: RecursiveAdapterModel, teacher: BertModel) -> None:
    block = model.albert.encoder.blocks()[0]
    layers: Any = teacher.encoder.layer
    for ours, theirs in _BERT_NAMES.items():
        for kind in ("weight", "bias"):
            stack = torch.stack([layer.get_parameter(f"{theirs}.{kind}") for layer in layers])
            block.get_parameter(f"{ours}.{kind}").copy_(stack.mean(0))


def _start_layerwise(model: RecursiveAdapterModel, teacher: BertModel) -> None:
    blocks: list[Any] = model.albert.encoder.blocks()
    for norm in (blocks[0].attention.LayerNorm, blocks[0].full_layer_layer_norm):
        # Plain normalised states, so that the adapters' LayerNorms repeat nothing but their affine.
        nn.init.ones_(norm.weight)
        nn.init.zeros_(norm.bias)
    layers: Any = teacher.encoder.layer
    for block, layer in zip(blocks, layers, strict=True):
        for slot, norm in (
            (block.attention.attention_adapters, layer.attention.output.LayerNorm),
            (block.output_adapters, layer.output.LayerNorm),
        ):
            if LAYERWISE not in slot.adapters:
                continue
            adapter = slot.adapters[LAYERWISE]
            nn.init.zeros_(adapter.adapter_up.weight)
            nn.init.zeros_(adapter.adapter_up.bias)
            adapter.adapter_norm_after.load_state_dict(norm.state_dict())


def fit_projection(
    model: RecursiveAdapterModel, teacher: BertModel, batches: Iterable[Batch], ridge: float = 1e-3
) -> float:
    """Set the embedding projection to the least-squares map onto the teacher's embedding output.

    Args:
        model: The student; changed in place.
        teacher: The teacher.
        batches: Text to fit on.
        ridge: Weight of the penalty on the map, relative to the mean square of its input.

    Returns:
        The share of the teacher's variance that the map explains, on the same text.
    """
    narrow, wide = [], []
    own: Any = model.albert.embeddings
    theirs: Any = teacher.embeddings
    with torch.no_grad():
        for batch in batches:
            kept = batch["attention_mask"].bool()
            narrow.append(own(batch["input_ids"])[kept])
            wide.append(theirs(batch["input_ids"])[kept])
        inputs, targets = torch.cat(narrow), torch.cat(wide)
        mean_in, mean_out = inputs.mean(0), targets.mean(0)
        x, y = inputs - mean_in, targets - mean_out
        gram = x.T @ x
        gram.diagonal().add_(ridge * gram.diagonal().mean())
        weight = torch.linalg.solve(gram, x.T @ y)
        projection: Any = model.albert.encoder.embedding_hidden_mapping_in
        projection.weight.copy_(weight.T)
        projection.bias.copy_(mean_out - mean_in @ weight)
        return float(1 - (y - x @ weight).square().sum() / y.square().sum())
