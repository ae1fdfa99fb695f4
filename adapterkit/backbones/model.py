"""Recursive models: one transformer block applied L times, each step visible to AdapterHub."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import (
    AlbertForMaskedLM,
    AlbertForMultipleChoice,
    AlbertForQuestionAnswering,
    AlbertForSequenceClassification,
    AlbertForTokenClassification,
    AlbertModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.albert.modeling_albert import AlbertEmbeddings, AlbertMLMHead

from adapterkit.backbones.adapter_layers import take
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.encoder import RecursiveEncoder
from adapterkit.backbones.factorised.forms import form_from
from adapterkit.backbones.factorised.modules import factorise_embedding
from adapterkit.backbones.factorised.places import TABLE
from adapterkit.backbones.prefix import attention_bias, hold_prefix
from adapterkit.backbones.tying import set_blocks


class RecursiveModel(AlbertModel):  # type: ignore[misc]
    """MiniALBERT's encoder as an ALBERT model with tied layer groups.

    Without a pooler (`RecursiveConfig.use_pooler`) the pooled output is the raw state of the first
    token, shape (batch, hidden).

    A model works on a copy of the configuration it is given, because untying, merging and adding
    heads write to it: two models made from one configuration do not disturb each other.
    """

    config_class = RecursiveConfig
    supports_gradient_checkpointing = True
    frozen_prefix = 0
    """Number of leading steps in which nothing learns.

    Where there are any, they and the embeddings compute in training as in evaluation, without
    dropout, so that what they make of a text is constant.
    """

    def __init__(self, config: RecursiveConfig, add_pooling_layer: bool = True) -> None:
        config = copy.deepcopy(config)
        super(AlbertModel, self).__init__(config)
        self.config = config
        self.embeddings = AlbertEmbeddings(config)
        if TABLE in config.factorised:
            form = form_from(config.factorised[TABLE])
            factorise_embedding(self.embeddings.word_embeddings, form, config.initializer_range)
        self.encoder = RecursiveEncoder(config)
        pooling = add_pooling_layer and config.use_pooler
        self.pooler: nn.Module = (
            nn.Linear(config.hidden_size, config.hidden_size) if pooling else nn.Identity()
        )
        self.pooler_activation: nn.Module = nn.Tanh() if pooling else nn.Identity()
        self.attn_implementation = config._attn_implementation
        self.position_embedding_type = config.position_embedding_type
        self.post_init()

    def train(self, mode: bool = True) -> RecursiveModel:
        """Set training mode; the frozen prefix stays in evaluation mode."""
        super().train(mode)
        if mode and self.frozen_prefix:
            hold_prefix(self)
        return self

    def forward(
        self,
        *args: Any,
        states: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Compute as `AlbertModel.forward` does, or only what is asked for.

        Args:
            args: As `AlbertModel.forward` takes them; so are `kwargs`.
            states: What the frozen prefix makes of the text, as `prefix_states` returns it, which
                is not run then.
            positions: The tokens of each text whose last states are read, shape (batch, some). The
                last state is (batch, some, hidden) then.
            kwargs: See `args`. With `states` or `positions`, ``input_ids`` and ``attention_mask``
                alone are read.
        """
        if states is None and positions is None:
            return super().forward(*args, **kwargs)
        ids = args[0] if args else kwargs.get("input_ids")
        return self._read(ids, kwargs["attention_mask"], states, positions)

    def _read(
        self,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor,
        states: torch.Tensor | None,
        positions: torch.Tensor | None,
    ) -> BaseModelOutputWithPooling:
        below = self.embeddings(input_ids) if states is None else states
        bias = attention_bias(self, attention_mask, below)
        side, steps = self.encoder.side, self.config.num_hidden_layers
        # States of steps that are all frozen may be kept, and are computed here as they are there.
        asked = None if side is not None or self.frozen_prefix == steps else positions
        if states is None:
            run = self.encoder(below, bias, positions=asked, padding_mask=attention_mask)
            last = run.last_hidden_state
        elif side is not None:
            last = side(states.chunk(len(side.reads), dim=-1), bias)
        else:
            above = range(self.frozen_prefix, steps)
            last = self.encoder(
                states, bias, steps=above, positions=asked, padding_mask=attention_mask
            ).last_hidden_state
        if asked is None and positions is not None:
            last = take(last, positions)
        pooled = self.pooler_activation(self.pooler(last[:, 0]))
        return BaseModelOutputWithPooling(last_hidden_state=last, pooler_output=pooled)

    def set_blocks(self, block_of_step: Sequence[int]) -> None:
        """Change which steps share a block; what the model computes does not change.

        Args:
            block_of_step: For each step, the step whose block it is to use. Steps brought together
                must hold equal weights, or those of the first of them win.

        Raises:
            ValueError: `block_of_step` is no layout of these steps; nothing was changed.
        """
        set_blocks(self.encoder.blocks(), self.config, block_of_step)
        self.tie_weights()


class MiniAlbertMLMHead(nn.Module):
    """MiniALBERT's masked-LM head: hidden -> hidden, GELU, LayerNorm, hidden -> vocabulary."""

    def __init__(self, config: RecursiveConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = nn.GELU()
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Scores (batch, tokens, vocabulary) from `states` (batch, tokens, hidden)."""
        scores: torch.Tensor = self.decoder(self.LayerNorm(self.activation(self.dense(states))))
        return scores


class RecursiveForMaskedLM(AlbertForMaskedLM):  # type: ignore[misc]
    """A recursive model with a masked-LM head."""

    config_class = RecursiveConfig
    supports_gradient_checkpointing = True

    def __init__(self, config: RecursiveConfig) -> None:
        super(AlbertForMaskedLM, self).__init__(config)
        self.albert = RecursiveModel(config, add_pooling_layer=False)
        self.config = config = self.albert.config
        own = config.mlm_head == "miniALBERT"
        self.predictions: nn.Module = MiniAlbertMLMHead(config) if own else AlbertMLMHead(config)
        self.post_init()

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the decoder, and the bias that ALBERT's head keeps beside it."""
        self.predictions.decoder = new_embeddings
        if isinstance(self.predictions, AlbertMLMHead):
            self.predictions.bias = new_embeddings.bias


class RecursiveForSequenceClassification(AlbertForSequenceClassification):  # type: ignore[misc]
    """A recursive model with a linear head on the pooled output."""

    config_class = RecursiveConfig
    supports_gradient_checkpointing = True

    def __init__(self, config: RecursiveConfig) -> None:
        super(AlbertForSequenceClassification, self).__init__(config)
        self.num_labels = config.num_labels
        self.albert = RecursiveModel(config)
        self.config = self.albert.config
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


class RecursiveForTokenClassification(AlbertForTokenClassification):  # type: ignore[misc]
    """A recursive model with a linear head on every token state."""

    config_class = RecursiveConfig
    supports_gradient_checkpointing = True

    def __init__(self, config: RecursiveConfig) -> None:
        super(AlbertForTokenClassification, self).__init__(config)
        self.num_labels = config.num_labels
        self.albert = RecursiveModel(config, add_pooling_layer=False)
        self.config = self.albert.config
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


class RecursiveForQuestionAnswering(AlbertForQuestionAnswering):  # type: ignore[misc]
    """A recursive model with a span head."""

    config_class = RecursiveConfig
    supports_gradient_checkpointing = True

    def __init__(self, config: RecursiveConfig) -> None:
        super(AlbertForQuestionAnswering, self).__init__(config)
        self.num_labels = config.num_labels
        self.albert = RecursiveModel(config, add_pooling_layer=False)
        self.config = self.albert.config
        self.qa_outputs = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


class RecursiveForMultipleChoice(AlbertForMultipleChoice):  # type: ignore[misc]
    """A recursive model with a score for each choice."""

    config_class = RecursiveConfig
    supports_gradient_checkpointing = True

    def __init__(self, config: RecursiveConfig) -> None:
        super(AlbertForMultipleChoice, self).__init__(config)
        self.albert = RecursiveModel(config)
        self.config = self.albert.config
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.post_init()


STATIC_HEADS: dict[str, Any] = {
    "AlbertForMaskedLM": RecursiveForMaskedLM,
    "AlbertForSequenceClassification": RecursiveForSequenceClassification,
    "AlbertForTokenClassification": RecursiveForTokenClassification,
    "AlbertForQuestionAnswering": RecursiveForQuestionAnswering,
    "AlbertForMultipleChoice": RecursiveForMultipleChoice,
}
"""The recursive counterpart of each ALBERT class with a static head."""
