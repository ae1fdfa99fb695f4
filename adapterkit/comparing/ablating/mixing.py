"""Models whose recursion steps come from several models of one backbone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from adapters.context import ForwardContext
from transformers.modeling_outputs import BaseModelOutputWithPooling

from adapterkit.backbones.adapter_layers import take
from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.prefix import attention_bias
from adapterkit.backbones.side import SidePath


@dataclass(frozen=True)
class Texts:
    """A batch of texts.

    Attributes:
        input_ids: Word pieces, shape (texts, tokens).
        attention_mask: 0 at padding, shape (texts, tokens).
        positions: The tokens of each text that heads read, shape (texts, some).
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    positions: torch.Tensor


class Variants(Protocol):
    """Several variants of a model that read the same texts."""

    @property
    def models(self) -> Sequence[RecursiveAdapterModel]:
        """The models that they are made of."""

    def logits(self, texts: Texts) -> list[torch.Tensor]:
        """What the head of each variant says, shape (texts, some, tags) or (texts, classes)."""


@dataclass(frozen=True)
class Mixture:
    """Where the parts of a mixed model come from.

    Attributes:
        steps: For each recursion step the number of the model that computes it. What lies below
            step 0 is of the same model.
        head: The number of the model that reads the last state.
    """

    steps: tuple[int, ...]
    head: int


class MixedSteps:
    """Mixtures of models. Each step computes exactly what it computes in the model it is of.

    A step keeps its block, its adapters and what it shares with other steps of its own model, such
    as the net that makes prefixes. Steps that mixtures have in common are run once.

    Args:
        models: Models of one backbone in evaluation mode, without side paths.
        mixtures: The mixtures.
    """

    def __init__(
        self, models: Sequence[RecursiveAdapterModel], mixtures: Sequence[Mixture]
    ) -> None:
        self.models, self._mixtures = tuple(models), tuple(mixtures)
        leading = Counter(
            mixture.steps[:count] for mixture in mixtures for count in range(1, len(mixture.steps))
        )
        self._common = {steps for steps, count in leading.items() if count > 1}

    def logits(self, texts: Texts) -> list[torch.Tensor]:
        """What the head of each mixture says, shape (texts, some, tags) or (texts, classes)."""
        contexts = [
            ForwardContext(model, texts.input_ids, attention_mask=texts.attention_mask)
            for model in self.models
        ]
        batch = _Batch(self.models, contexts, texts, self._common)
        return [
            read(self.models[mixture.head], batch.last(mixture.steps)) for mixture in self._mixtures
        ]


class SkippedRungs:
    """A model with a side path, of which rungs are skipped.

    Args:
        model: The model, in evaluation mode, with its side path active.
        skipped: For each variant the steps whose rungs are skipped.
    """

    def __init__(self, model: RecursiveAdapterModel, skipped: Sequence[Sequence[int]]) -> None:
        self.models, self._skipped = (model,), tuple(skipped)

    def logits(self, texts: Texts) -> list[torch.Tensor]:
        """What the head says without the rungs, shape (texts, some, tags) or (texts, classes)."""
        (model,) = self.models
        base = model.base_model
        side: SidePath = base.encoder.side
        with ForwardContext(model, texts.input_ids, attention_mask=texts.attention_mask):
            embedded = base.embeddings(texts.input_ids)
            bias = attention_bias(base, texts.attention_mask, embedded)
            steps = range(base.config.num_hidden_layers)
            output = base.encoder(embedded, bias, output_hidden_states=True, steps=steps)
            states = [output.hidden_states[index] for index in side.reads]
            return [
                read(model, take(side(states, bias, skipped), texts.positions))
                for skipped in self._skipped
            ]


def read(model: RecursiveAdapterModel, last: torch.Tensor) -> torch.Tensor:
    """What the active head of `model` makes of last states of shape (texts, some, hidden)."""
    base = model.base_model
    pooled = base.pooler_activation(base.pooler(last[:, 0]))
    outputs = BaseModelOutputWithPooling(last_hidden_state=last, pooler_output=pooled)
    logits: torch.Tensor = model.forward_head(
        outputs, return_dict=True, pooled_output=pooled
    ).logits
    return logits


class _Batch:
    """The states of one batch."""

    def __init__(
        self,
        models: Sequence[RecursiveAdapterModel],
        contexts: Sequence[ForwardContext],
        texts: Texts,
        common: set[tuple[int, ...]],
    ) -> None:
        self._models, self._contexts, self._texts = models, contexts, texts
        self._common, self._kept = common, dict[tuple[int, ...], torch.Tensor]()
        embedded = models[0].base_model.embeddings(texts.input_ids)
        self._bias = attention_bias(models[0].base_model, texts.attention_mask, embedded)

    def last(self, steps: tuple[int, ...]) -> torch.Tensor:
        """The last states at the positions that heads read."""
        return self._run(steps, self._texts.positions)

    def _run(self, steps: tuple[int, ...], positions: torch.Tensor | None = None) -> torch.Tensor:
        """What `steps`, the leading ones of a mixture, make of the texts."""
        if steps in self._kept:
            return self._kept[steps]
        model, step = self._models[steps[-1]], len(steps) - 1
        base = model.base_model
        with self._contexts[steps[-1]]:
            below = self._run(steps[:-1]) if step else base.embeddings(self._texts.input_ids)
            states: torch.Tensor = base.encoder(
                below, self._bias, steps=range(step, step + 1), positions=positions
            ).last_hidden_state
        if steps in self._common:
            self._kept[steps] = states
        return states
