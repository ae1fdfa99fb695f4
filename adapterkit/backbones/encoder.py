"""The recursion: embedding projection, optional step-0 adapter, L applications of the block."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from adapters.methods.reft import ReftModule
from torch import nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.albert.modeling_albert import AlbertLayerGroup, AlbertTransformer

from adapterkit.backbones.adapter_layers import StepSdpaAttention, take
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.factorised.modules import factorise_linear
from adapterkit.backbones.factorised.places import block_forms
from adapterkit.backbones.side import SidePath
from adapterkit.backbones.tying import tie, tied_names
from adapterkit.backbones.unpadding import Unpadding


class BottleneckAdapter(nn.Module):
    """MiniALBERT's adapter: ``LayerNorm(up(gelu(down(x))) + x)`` (arXiv 2210.06425).

    Used where AdapterHub has no slot: between the embedding projection and the first step.
    """

    def __init__(self, hidden_size: int, units: int, eps: float) -> None:
        super().__init__()
        self.down = nn.Linear(hidden_size, units)
        self.up = nn.Linear(units, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=eps)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Adapt `states`, shape (batch, tokens, hidden)."""
        update = self.up(nn.functional.gelu(self.down(states)))
        adapted: torch.Tensor = self.norm(update + states)
        return adapted


class RecursiveEncoder(AlbertTransformer):  # type: ignore[misc]
    """ALBERT's encoder with one layer group per recursion step and gradient checkpointing."""

    gradient_checkpointing = False
    unpads = False
    """Whether training leaves padding out, where no adapter forbids it and some tokens are read."""
    row_multiple = 1
    """Of what the length of the row is a multiple that a batch is without padding."""
    training_dtype: torch.dtype | None = None
    """What the steps that are in training mode compute matrix products in, if not in float32.

    Steps in evaluation mode, such as those of a frozen prefix, stay exact.
    """
    active_side: str | None = None
    """Name of the side path that reads the steps, if one does. Nothing learns inside them then."""

    def __init__(self, config: RecursiveConfig) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.embedding_hidden_mapping_in: nn.Module = (
            nn.Linear(config.embedding_size, config.hidden_size)
            if config.embedding_projection
            else nn.Identity()
        )
        self.embedding_adapter: BottleneckAdapter | None = None
        if config.embedding_adapter_size is not None:
            self.embedding_adapter = BottleneckAdapter(
                config.hidden_size, config.embedding_adapter_size, config.layer_norm_eps
            )
        self.albert_layer_groups = nn.ModuleList(
            AlbertLayerGroup(config) for _ in range(config.num_hidden_layers)
        )
        for module, form in block_forms(config.factorised).items():
            for block in self.blocks():
                factorise_linear(block.get_submodule(module), form, config.initializer_range)
        self.sides = nn.ModuleDict()
        self._tie_weights()
        self.register_load_state_dict_post_hook(_tie_loaded)

    def blocks(self) -> list[nn.Module]:
        """The transformer block of every recursion step."""
        return [group.get_submodule("albert_layers.0") for group in self.albert_layer_groups]

    @property
    def side(self) -> SidePath | None:
        """The active side path."""
        if self.active_side is None:
            return None
        side: SidePath = self.get_submodule(f"sides.{self.active_side}")
        return side

    def _tie_weights(self) -> None:
        """Called by `PreTrainedModel.tie_weights`: after every load, resize and initialisation."""
        tie(self.blocks(), self.config)
        # save_pretrained stores a shared tensor once if told which of its names are duplicates.
        self._dynamic_tied_weights_keys = [
            rf"albert_layer_groups\.{step}\.albert_layers\.0\.{re.escape(name)}$"
            for step, _, name in (entry.partition(".") for entry in tied_names(self.config))
        ]

    def _apply(
        self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True
    ) -> RecursiveEncoder:
        # A conversion that needs new Parameter objects, as to_empty does, makes one per step.
        super()._apply(fn, recurse)
        self._tie_weights()
        return self

    def embed(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Lead embeddings (batch, tokens, embedding) to step 0's states (batch, tokens, hidden)."""
        states: torch.Tensor = self.embedding_hidden_mapping_in(embeddings)
        return states if self.embedding_adapter is None else self.embedding_adapter(states)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        head_mask: Any = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        steps: range | None = None,
        positions: torch.Tensor | None = None,
        padding_mask: torch.Tensor | None = None,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """Run the recursion; arguments and result as `AlbertTransformer.forward`.

        Where a side path is active, no gradient is kept of the steps, and the last state is the
        backbone's with what the path adds to it.

        Args:
            hidden_states: Embeddings (batch, tokens, embedding); if `steps` begins above step 0,
                the states (batch, tokens, hidden) that the first of them reads.
            attention_mask: Added to attention scores.
            head_mask: One mask a step, or none.
            output_attentions: Whether attention maps are returned.
            output_hidden_states: Whether the states before and after each step are returned.
            return_dict: Whether the result is an object rather than a tuple.
            steps: The consecutive steps to run, without a side path; by default all, with it.
            positions: The tokens of each text whose last states are read, shape (batch, some); by
                default all. The last step leaves out the others where it can; it must be among
                `steps`, and no side path active. Neither attentions nor states of the steps are
                returned then.
            padding_mask: 0 at padding, shape (batch, tokens), for `unpads`.
        """
        side = self.side if steps is None else None
        steps = range(len(self.albert_layer_groups)) if steps is None else steps
        if positions is not None:
            # Scores are computed as they are when what was trained is evaluated anew.
            unpads = self.unpads and self.training and attention_mask is not None
            mask = padding_mask if unpads else None
            unpadding = None if mask is None else Unpadding.of(mask, self.row_multiple)
            return BaseModelOutput(
                self._run_for(positions, hidden_states, attention_mask, steps, unpadding)
            )
        with torch.set_grad_enabled(side is None and torch.is_grad_enabled()):
            output = self._run(
                hidden_states,
                attention_mask,
                head_mask,
                output_attentions,
                output_hidden_states or side is not None,
                steps,
            )
        if side is not None:
            states = output.hidden_states
            last = side([states[index] for index in side.reads], attention_mask)
            output = BaseModelOutput(
                last_hidden_state=last,
                hidden_states=(*states[:-1], last) if output_hidden_states else None,
                attentions=output.attentions,
            )
        return output if return_dict else output.to_tuple()

    def _run_for(
        self,
        positions: torch.Tensor,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        steps: range,
        unpadding: Unpadding | None,
    ) -> torch.Tensor:
        """The last states at some positions, shape (batch, some, hidden)."""
        blocks = self.blocks()
        # Checkpointing computes the step again, when nothing says what it left out.
        if not steps or self.gradient_checkpointing or not _may_leave_out(blocks[-1]):
            output = self._run(hidden_states, attention_mask, None, False, False, steps)
            return take(output.last_hidden_state, positions)
        if unpadding is not None and not all(_may_leave_out(blocks[step]) for step in steps):
            unpadding = None
        attentions: list[Any] = [block.get_submodule("attention") for block in blocks]
        for attention in attentions:
            attention.unpadding = unpadding
        attentions[-1].positions = positions
        try:
            states = hidden_states if unpadding is None else unpadding.row(hidden_states)
            output = self._run(states, attention_mask, None, False, False, steps)
            last: torch.Tensor = output.last_hidden_state
            return last if unpadding is None else unpadding.chosen(positions).padded(last)
        finally:
            attentions[-1].positions = None
            for attention in attentions:
                attention.unpadding = None

    def _run(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        head_mask: Any,
        output_attentions: bool,
        output_hidden_states: bool,
        steps: range,
    ) -> BaseModelOutput:
        groups = self.albert_layer_groups
        states = hidden_states if steps.start > 0 else self.embed(hidden_states)
        all_states: tuple[torch.Tensor, ...] | None = (states,) if output_hidden_states else None
        all_attentions: tuple[torch.Tensor, ...] | None = () if output_attentions else None
        masks = [None] * len(groups) if head_mask is None else head_mask
        # One context for all that learn: it casts a matrix that they share once.
        with ExitStack() as lowered:
            dtype = self.training_dtype
            for step in steps:
                if dtype is not None and groups[step].training:
                    lowered.enter_context(torch.autocast(states.device.type, dtype))
                    dtype = None
                arguments = (states, attention_mask, masks[step : step + 1], output_attentions)
                if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                    output = self._gradient_checkpointing_func(groups[step].__call__, *arguments)
                else:
                    output = groups[step](*arguments)
                states = output[0]
                if all_attentions is not None:
                    all_attentions += tuple(output[-1])
                if all_states is not None:
                    all_states += (states,)
        last = states if self.training_dtype is None else states.to(hidden_states.dtype)
        return BaseModelOutput(
            last_hidden_state=last, hidden_states=all_states, attentions=all_attentions
        )


def _may_leave_out(block: nn.Module) -> bool:
    """Whether no adapter of a step reads more than one token of what the step makes of it."""
    attention = block.get_submodule("attention")
    if not isinstance(attention, StepSdpaAttention):
        return False
    if attention.position_embedding_type != "absolute":
        return False
    # ReFT edits states by their places in the text; a gate is a mean over all of them.
    return not any(
        isinstance(module, ReftModule) or getattr(module, "use_gating", False)
        for module in block.modules()
    )


def _tie_loaded(encoder: RecursiveEncoder, incompatible_keys: Any) -> None:
    """Called by `load_state_dict`, which with ``assign=True`` makes one Parameter per step."""
    encoder._tie_weights()
