"""AdapterHub's LoRA linear where recursion steps share its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from adapters.composition import Stack, adjust_tensors_for_parallel
from adapters.methods.lora import LoRALinearTorch, LoRAState
from torch import nn

from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.factorised.forms import MatrixProduct
from adapterkit.backbones.factorised.modules import FactorisedLinear
from adapterkit.backbones.kronecker_adapters import KroneckerLoRA, krona_shapes
from adapterkit.backbones.kronecker_configs import KronaConfig
from adapterkit.backbones.relaxed import RELAXED


class StepLoRALinear(LoRALinearTorch):  # type: ignore[misc]
    """A LoRA, IA3 or KronA linear of one recursion step, whose parameters other steps may share.

    Merging an update into a shared weight would change every step that shares it. Here the step
    gets a weight of its own first, which the configuration records so that saving and loading keep
    it; resetting puts the shared weight back, bit for bit. IA3 and DoRA scale the bias too, which
    AdapterHub leaves alone when it merges.

    The low-rank update of relaxed recursion belongs to the linear: what else is active is computed
    as if the weight held it. In a stack of others, too, the updates are added. AdapterHub's own
    stack feeds each LoRA's output to the next instead, so that one that starts at zero hides those
    before it.
    """

    step: int
    block_name: str
    weight: nn.Parameter
    bias: nn.Parameter
    model_config: RecursiveConfig
    merged: str | None
    written_out: torch.Tensor | None = None
    """This step's own matrix ``W + B A``, where `fusing.fuse_updates` had it computed."""

    def locate(self, step: int, block_name: str) -> None:
        """Say which parameter of which step this is, for instance 3 and ``attention.query``."""
        self.step, self.block_name = step, block_name
        self._unmerged: dict[str, nn.Parameter] = {}

    def add_adapter(self, adapter_name: str, layer_idx: int) -> bool:
        """Add the weights of `adapter_name`; whether this linear has any."""
        added: bool = super().add_adapter(adapter_name, layer_idx)
        if added:
            lora = self.loras[adapter_name]
            if self.adapters_config.match(adapter_name, KronaConfig, layer_idx, self.location_key):
                # AdapterHub has made LoRA's two parameters, of the shapes below.
                lora.__class__ = KroneckerLoRA
            if not isinstance(getattr(lora, "lora_dropout", lora), nn.Module):
                # AdapterHub writes "no dropout" as a lambda, which no other process can be sent.
                lora.lora_dropout = nn.Identity()
            if lora.use_dora and RELAXED in self.loras:
                with torch.no_grad():
                    lora.m.weight.copy_(self._relaxed_weight().norm(dim=1, keepdim=True))
        return added

    def _get_lora_shapes(self, config: Any) -> tuple[tuple[int, int], tuple[int, int]]:
        if isinstance(config, KronaConfig):
            return krona_shapes(config.factor, self.in_features, self.out_features)
        shapes: tuple[tuple[int, int], tuple[int, int]] = super()._get_lora_shapes(config)
        return shapes

    def forward(self, input_states: torch.Tensor) -> torch.Tensor:
        """Apply the linear with what is active, (batch, tokens, in) to (batch, tokens, out)."""
        setup = None if self.merged or RELAXED not in self.loras else self.get_active_setup()
        weight = self._own_weight(input_states, setup)
        if setup is None or weight is None:
            states: torch.Tensor = super().forward(input_states)
            return states
        output = nn.functional.linear(input_states, weight, self.bias)
        others = [name for name in setup if name != RELAXED]
        if not any(name in self.loras for name in others):
            return output
        state = LoRAState(input_states, None, output, None)
        state = self.compose_stack(Stack(*others), state)
        added: torch.Tensor = self.loras[state.last].com(output, state.hidden_states, scaling=1.0)
        return added

    def _own_weight(self, input_states: torch.Tensor, setup: Any) -> torch.Tensor | None:
        """This step's matrix ``W + B A``, where that and a plain stack's others are the stack."""
        # DoRA divides by norms that it takes of the two parts.
        if (
            type(setup) is not Stack
            or RELAXED not in setup.children
            or any(
                not isinstance(name, str) or (name in self.loras and self.loras[name].use_dora)
                for name in setup
            )
        ):
            return None
        if not (torch.is_grad_enabled() and self.updates_learn):
            return self.written_out
        # Beside the matrix the update costs two thin products for each token, forward and backward.
        tokens, size = input_states.shape[:-1].numel(), self.in_features + self.out_features
        dear = tokens * size > self.in_features * self.out_features
        return self._relaxed_weight() if dear and self.is_plain else None

    @property
    def is_plain(self) -> bool:
        """Whether the relaxed update has neither gate nor dropout."""
        lora = self.loras[RELAXED]
        return not lora.use_gating and isinstance(lora.lora_dropout, nn.Identity)

    @property
    def updates_learn(self) -> bool:
        """Whether the matrix or its relaxed update takes gradients."""
        parts = (self.weight, *self.loras[RELAXED].parameters())
        return any(part.requires_grad for part in parts)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        if self.written_out is not None:
            self.written_out = fn(self.written_out)
        return super()._apply(fn, recurse)

    @torch.no_grad()
    def write_out(self) -> None:
        """Compute `written_out`."""
        self.written_out = _merged(self.weight, self.bias, self.loras[RELAXED])["weight"]

    def compose_single(self, adapter_setup: str, state: LoRAState, lvl: int = 0) -> LoRAState:
        """Apply one adapter; relaxed recursion's goes to the output of the linear itself."""
        if adapter_setup == RELAXED:
            update, _ = self.loras[RELAXED](None, state.layer_input)
            return state._replace(layer_output=state.layer_output + update)
        if state.last is None or not (self._adds(state.last) and self._adds(adapter_setup)):
            return super().compose_single(adapter_setup, state, lvl)
        output = self.loras[state.last].com(state.layer_output, state.hidden_states, scaling=1.0)
        state = state._replace(hidden_states=None, layer_output=output)
        composed: LoRAState = super().compose_single(adapter_setup, state, lvl)
        # A group of adapters before it gives more rows than it reads.
        (added,) = adjust_tensors_for_parallel(output, composed.hidden_states)
        return composed._replace(hidden_states=added)

    def _adds(self, name: str) -> bool:
        """Whether an adapter adds an update to the output of the linear, and does nothing else."""
        lora = self.loras[name]
        return lora.composition_mode == "add" and not lora.use_dora

    def compose(self, adapter_setup: Any, state: LoRAState) -> LoRAState:
        """Apply the active adapters."""
        composed: LoRAState = super().compose(adapter_setup, state)
        if composed.last is None and RELAXED in self.loras:
            # Nothing else is active here, and AdapterHub asks for something to add.
            nothing = composed.layer_output.new_zeros(())
            return composed._replace(hidden_states=nothing, last=RELAXED)
        if RELAXED in self.loras and self.loras[composed.last].use_dora:
            return self._rescaled(composed) if RELAXED in adapter_setup.flatten() else composed
        return composed

    def _rescaled(self, state: LoRAState) -> LoRAState:
        """Let DoRA divide by the norms of this step's matrix, not of the one that steps share."""
        update = self.loras[state.last].delta_w
        shared = (self.weight + update).norm(dim=1)
        ratio = shared / (self._relaxed_weight() + update).norm(dim=1)
        return state._replace(
            layer_output=state.layer_output * ratio, hidden_states=state.hidden_states * ratio
        )

    def _relaxed_weight(self) -> torch.Tensor:
        lora = self.loras[RELAXED]
        weight: torch.Tensor = lora.com(self.weight, lora.delta_w)
        return weight

    def merge_adapter(self, name: str) -> None:
        """Merge `name` into this step's weight and bias, and into no other step's.

        Raises:
            ValueError: The adapter is gated, or another one is merged already, or it is not the
                update of relaxed recursion where there is one.
        """
        if name in self.loras and name != RELAXED and RELAXED in self.loras:
            raise ValueError(
                f"Cannot merge {name!r}: AdapterHub would leave out {RELAXED!r} where it is "
                "merged. Merge that one, save the backbone, and train on what was saved."
            )
        if name not in self.loras or self.merged:
            super().merge_adapter(name)
            return
        if self.loras[name].use_gating:
            raise ValueError("Cannot merge LoRA layer with gating.")
        for kind, value in _merged(self.weight, self.bias, self.loras[name]).items():
            shared = self._unmerged[kind] = self.get_parameter(kind)
            setattr(self, kind, nn.Parameter(value, shared.requires_grad))
        self.merged = name
        own = self.model_config.own_parameters
        own += [entry for entry in self._own_entries() if entry not in own]

    def reset_adapter(self) -> None:
        """Undo `merge_adapter`: the step shares the parameters it shared before."""
        for entry in self._own_entries():
            self.model_config.own_parameters.remove(entry)
        for kind, shared in self._unmerged.items():
            # Where every step is merged nothing else holds the shared one: it was not converted.
            shared.data = shared.data.to(self.get_parameter(kind))
            setattr(self, kind, shared)
        self._unmerged = {}
        self.merged = None

    def _own_entries(self) -> list[str]:
        return [f"{self.step}.{self.block_name}.{kind}" for kind in self._unmerged]


class FactorisedStepLinear(StepLoRALinear, FactorisedLinear):  # type: ignore[misc]
    """A linear of one recursion step whose matrix is stored as factors."""

    loras: nn.ModuleDict

    @property
    def dense(self) -> torch.Tensor | None:
        """The matrix, where `fusing` had it written out."""
        return None if RELAXED in self.loras else self.written_out

    @property
    def updates_learn(self) -> bool:
        """Whether a factor or the relaxed update takes gradients."""
        if RELAXED not in self.loras:
            return self.factors.learn
        return self.factors.learn or any(p.requires_grad for p in self.loras[RELAXED].parameters())

    @property
    def gains_by_writing_out(self) -> bool:
        """Whether applying the matrix is cheaper than applying its factors."""
        return isinstance(self.factors.form, MatrixProduct)

    @torch.no_grad()
    def write_out(self) -> None:
        """Compute `written_out`."""
        if RELAXED in self.loras:
            super().write_out()
        else:
            self.written_out = self.weight

    def merge_adapter(self, name: str) -> None:
        """Refuse: a merged matrix has no such factors.

        Raises:
            ValueError: Always, if the adapter has weights here.
        """
        if name in self.loras:
            raise ValueError(
                f"Cannot merge {name!r} into {self.block_name}, which is stored as factors. Keep "
                "it beside the backbone, or write the backbone out as a plain ALBERT."
            )

    def reset_adapter(self) -> None:
        """Nothing is ever merged here."""


@torch.no_grad()
def _merged(weight: torch.Tensor, bias: torch.Tensor, lora: Any) -> dict[str, torch.Tensor]:
    """What a linear's weight (out, in) and bias (out) become when `lora` is merged into it."""
    if lora.composition_mode == "scale":
        return {
            "weight": lora.com(weight, lora.delta_w),
            "bias": lora.com(bias, lora.delta_w.reshape(-1)),
        }
    if lora.use_dora:
        # As AdapterHub computes it: the norm is that of the update before it is scaled.
        scale = lora.m.weight / (weight + lora.delta_w).norm(dim=1, keepdim=True)
        merged = scale * (weight + lora.scaling * lora.delta_w)
        return {"weight": merged, "bias": scale.reshape(-1) * bias}
    return {"weight": lora.com(weight, lora.delta_w)}
