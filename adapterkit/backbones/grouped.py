"""Adapters of several tasks on one backbone, computed together.

What one adapter computes is left to AdapterHub's own module: `torch.vmap` runs it for all of them
at once, every product of matrices as one batched product. Adapters that read the same texts share
every state up to the first adapter that is not the same in all of them; there the rows of the
batch are repeated, those of the first adapter before those of the second, as in AdapterHub's
`Parallel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from adapters.composition import adjust_tensors_for_parallel
from adapters.methods.lora import IA3, LoRA
from adapters.methods.modeling import Adapter
from torch import nn
from torch.func import functional_call, stack_module_state

from adapterkit.backbones.encoder import BottleneckAdapter
from adapterkit.backbones.kronecker_adapters import KroneckerLoRA


class Rows:
    """Which adapter reads which row of the batch that is computed next.

    Args:
        count: Number of adapters.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.texts = 0
        """Texts of the batch."""
        self.readers: torch.Tensor | None = None
        """The adapter of each text, shape (texts,), or None where each adapter reads each text."""


class _Grouped(nn.Module):
    """Modules of one architecture, each with weights of its own, computed at once."""

    def __init__(self, modules: Sequence[nn.Module], rows: Rows) -> None:
        super().__init__()
        self.rows = rows
        self.template: Any = modules[0]
        parameters, buffers = stack_module_state(list(modules))
        # A buffer's name may not hold a dot.
        self._names = {name: name.replace(".", "-") for name in (*parameters, *buffers)}
        for name, stacked in (*parameters.items(), *buffers.items()):
            self.register_buffer(self._names[name], stacked.detach(), persistent=False)

    def each(self, *inputs: torch.Tensor | None) -> torch.Tensor:
        """What each module makes of its rows.

        Args:
            inputs: Each (texts, tokens, features), the same for every adapter, or (adapters times
                texts, tokens, features), or None.

        Returns:
            Shape (texts, tokens, features) where every text has one reader, else (adapters times
            texts, tokens, features).
        """
        weights = {name: self.get_buffer(stored) for name, stored in self._names.items()}
        parts: list[torch.Tensor | None]
        if self.rows.readers is not None:
            weights = {name: stacked[self.rows.readers] for name, stacked in weights.items()}
            parts = [None if states is None else states.unsqueeze(1) for states in inputs]
            shared = [states is None for states in inputs]
        else:
            shared = [states is None or len(states) == self.rows.texts for states in inputs]
            parts = [
                states if same or states is None else self._by_adapter(states)
                for states, same in zip(inputs, shared, strict=True)
            ]
        batched = torch.vmap(self._one, in_dims=(0, *(None if same else 0 for same in shared)))
        states: torch.Tensor = batched(weights, *parts)
        return states.flatten(0, 1)

    def _by_adapter(self, states: torch.Tensor) -> torch.Tensor:
        return states.view(self.rows.count, -1, *states.shape[1:])

    def _one(self, weights: dict[str, torch.Tensor], *inputs: torch.Tensor | None) -> torch.Tensor:
        output = functional_call(self.template, weights, inputs)
        states: torch.Tensor = output[0] if isinstance(output, tuple) else output
        return states


class GroupedBottleneck(_Grouped):
    """Bottleneck adapters, in the place of one in a slot of AdapterHub."""

    def pre_forward(self, *inputs: Any) -> Any:
        """The states that the bottleneck reads, and those it adds to; see `Adapter`."""
        return self.template.pre_forward(*inputs)

    def post_forward(self, hidden_states: torch.Tensor, *inputs: Any) -> Any:
        """Residual connection and LayerNorm of the sub-block; see `Adapter`."""
        before, residual, layer_norm = inputs
        before, residual = adjust_tensors_for_parallel(hidden_states, before, residual)
        return self.template.post_forward(hidden_states, before, residual, layer_norm)

    def forward(
        self, x: torch.Tensor, residual_input: torch.Tensor, output_gating: bool = False
    ) -> tuple[Any, ...]:
        """Adapt the rows of each adapter; what AdapterHub needs to fuse adapters is not given."""
        return self.each(x, residual_input), None, None


class GroupedLora(_Grouped):
    """LoRA, KronA or IA3 weights, in the place of one adapter's in a linear of AdapterHub."""

    use_dora = False
    use_gating = False

    @property
    def composition_mode(self) -> str:
        """Whether the update is added, or the output scaled with it."""
        return str(self.template.composition_mode)

    def forward(
        self, hidden_states: torch.Tensor | None, layer_input: torch.Tensor
    ) -> tuple[torch.Tensor, None]:
        """The update of each adapter to its rows."""
        return self.each(hidden_states, layer_input), None

    def com(self, weights: torch.Tensor, added: torch.Tensor, scaling: float | None = None) -> Any:
        """Add the updates to the output of the linear, or scale it with them."""
        (weights,) = adjust_tensors_for_parallel(added, weights)
        return self.template.com(weights, added, scaling=scaling)


class GroupedEmbeddingAdapter(_Grouped):
    """Adapters behind the embedding projection."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Adapt the rows of each adapter."""
        return self.each(states)


def group_differing(models: Sequence[nn.Module], rows: Rows) -> bool:
    """Let the first of several models compute what all of them compute.

    Args:
        models: Base models of one architecture with adapters of the same names, in evaluation
            mode.
        rows: Says which model's adapters read which rows.

    Returns:
        Whether that can be done: whether adapters of a kind that can be grouped are all in which
        the models differ. If not, the first model is as before.
    """
    differing = _differing(models)
    if differing is None:
        return False
    places = {}
    for path, module in models[0].named_modules():
        kind = _kind(module)
        inside = {name for name in differing if name.startswith(f"{path}.")}
        if kind is not None and inside:
            differing -= inside
            places[path] = kind
    if differing:
        return False
    for path, kind in places.items():
        modules = [model.get_submodule(path) for model in models]
        models[0].set_submodule(path, kind(modules, rows))
    return True


def _differing(models: Sequence[nn.Module]) -> set[str] | None:
    """Names of the tensors that are not the same in all models; None if there are others."""
    first, *others = [model.state_dict() for model in models]
    for other in others:
        shapes = {name: tensor.shape for name, tensor in other.items()}
        if shapes != {name: tensor.shape for name, tensor in first.items()}:
            return None
    return {
        name
        for name, tensor in first.items()
        if any(not torch.equal(tensor, other[name]) for other in others)
    }


def _kind(module: nn.Module) -> type[_Grouped] | None:
    if isinstance(module, BottleneckAdapter):
        return GroupedEmbeddingAdapter
    # A gate is a mean over the tokens of a text, padding included.
    if isinstance(module, Adapter) and not module.use_gating:
        return GroupedBottleneck
    if type(module) in (LoRA, KroneckerLoRA, IA3) and not (module.use_gating or module.use_dora):
        return GroupedLora
    return None
