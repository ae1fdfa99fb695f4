"""The masked-LM head that a student has while it learns; it is dropped afterwards."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.models.albert.modeling_albert import AlbertMLMHead

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.factorised.modules import (
    FactorisedEmbedding,
    FactorisedLinear,
    attach,
)


def student_head(model: RecursiveAdapterModel) -> nn.Module:
    """A fresh head: hidden -> embedding, activation, LayerNorm, and the embedding table.

    ALBERT's head. Its decoder is the student's own table, so that what the head learns about words
    stays in the student. Initialised with N(0, ``initializer_range``), from torch's generator.

    Returns:
        From states (..., hidden) to scores over the vocabulary (..., vocabulary).
    """
    head: Any = AlbertMLMHead(model.config)
    nn.init.normal_(head.dense.weight, std=model.config.initializer_range)
    nn.init.zeros_(head.dense.bias)
    table: Any = model.albert.embeddings.word_embeddings
    if isinstance(table, FactorisedEmbedding):
        attach(head.decoder, table.factors, FactorisedLinear)
    else:
        head.decoder.weight = table.weight
    module: nn.Module = head
    return module
