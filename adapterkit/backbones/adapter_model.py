"""The recursive model under AdapterHub, with flexible heads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import adapters
import torch
from adapters import AlbertAdapterModel
from adapters.composition import adjust_tensors_for_parallel_
from adapters.context import ForwardContext
from adapters.methods.lora import LoRALinear
from adapters.models import MODEL_MIXIN_MAPPING
from adapters.models.albert.mixin_albert import AlbertModelAdaptersMixin
from adapters.models.albert.modeling_albert import AlbertSdpaAttentionWithAdapters
from adapters.wrappers.model import SPECIAL_MODEL_TYPE_TO_MODULE_NAME
from torch import nn

from adapterkit.backbones.adapter_layers import (
    PicklablePromptTuningLayer,
    StepBottleneckLayer,
    StepSdpaAttention,
)
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.dropout import StepDropout
from adapterkit.backbones.factorised.modules import FactorisedLinear, Factors, attach, detach
from adapterkit.backbones.kronecker_configs import read_config
from adapterkit.backbones.lora_layers import FactorisedStepLinear, StepLoRALinear
from adapterkit.backbones.model import RecursiveModel
from adapterkit.backbones.relaxed import ATTENTION_OUTPUT
from adapterkit.backbones.tying import LINEARS

LORA_MODULES = LINEARS
BOTTLENECK_SLOTS = ("attention.attention_adapters", "output_adapters")
OF_THE_BACKBONE = "of the backbone"
"""Activation function of a converted masked-LM head, until the backbone that gets it is known."""


class RecursiveModelAdaptersMixin(AlbertModelAdaptersMixin):  # type: ignore[misc]
    """AdapterHub's mixin for a model whose layers share parameters."""

    def init_adapters(self, model_config: Any, adapters_config: Any) -> None:
        """Prepare every recursion step for adapters, and share what the steps share again."""
        # adapters.init makes a class on the fly; one that a module holds can be pickled.
        self.__class__ = RecursiveModelWithAdapters
        saved = getattr(model_config, "adapters", None)
        if isinstance(saved, dict):
            known = saved.get("config_map", {})
            known.update({name: read_config(config) for name, config in known.items()})
        super().init_adapters(model_config, adapters_config)
        self.tie_weights()

    def _init_adapters_submodules(self, model_config: Any, adapters_config: Any) -> None:
        # AdapterHub copies the matrix of every linear layer into a layer of its own.
        factors = _detached_factors(self.iter_layers())
        super()._init_adapters_submodules(model_config, adapters_config)
        self.prompt_tuning.__class__ = PicklablePromptTuningLayer
        for step, layer in self.iter_layers():
            if type(layer.attention) is AlbertSdpaAttentionWithAdapters:
                layer.attention.__class__ = StepSdpaAttention
            _let_lora_reach_attention_output(layer.attention, model_config, adapters_config)
            for name in LORA_MODULES:
                linear = layer.get_submodule(name)
                if (step, name) in factors:
                    attach(linear, factors[step, name], FactorisedStepLinear)
                else:
                    linear.__class__ = StepLoRALinear
                linear.locate(step, name)
            layer.attention.output_dropout.__class__ = StepDropout
            for name in BOTTLENECK_SLOTS:
                layer.get_submodule(name).__class__ = StepBottleneckLayer
        for module in self.encoder.modules():
            if hasattr(module, "init_adapters"):
                # For a model with a static head AdapterHub comes by again, and would undo this.
                module.init_adapters = _do_nothing

    def add_adapter(self, adapter_name: str, config: Any = None, **kwargs: Any) -> None:
        """As AdapterHub's method, with Kronecker adapters among the configurations it can read."""
        super().add_adapter(adapter_name, read_config(config), **kwargs)

    def set_blocks(self, block_of_step: Sequence[int]) -> None:
        """Change which steps share a block; see `RecursiveModel.set_blocks`.

        Raises:
            ValueError: `block_of_step` is no layout of these steps, or an adapter is merged and
                could no longer be taken out; nothing was changed.
        """
        if any(isinstance(m, StepLoRALinear) and m.merged for m in self.modules()):
            raise ValueError("an adapter is merged: reset it, or save and load, before set_blocks")
        super().set_blocks(block_of_step)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """As transformers' method; the model can be used as before afterwards."""
        super().save_pretrained(save_directory, **kwargs)
        link_prefixes(self)

    def _set_layer_hook_for_parallel(self, layer: nn.Module) -> None:
        layer.register_forward_pre_hook(_repeat_for_parallel)


def _detached_factors(layers: Iterable[tuple[int, nn.Module]]) -> dict[tuple[int, str], Factors]:
    """The factors of the linear layers that have any, taken out of them, by step and name."""
    return {
        (step, name): detach(linear)
        for step, layer in layers
        for name in LORA_MODULES
        if isinstance(linear := layer.get_submodule(name), FactorisedLinear)
    }


def _let_lora_reach_attention_output(
    attention: Any, model_config: Any, adapters_config: Any
) -> None:
    """Prepare the matrix behind attention for LoRA, which AdapterHub leaves out in ALBERT."""
    if isinstance(attention.dense, LoRALinear):
        return
    # The weights that the new module makes are replaced by those there are.
    with torch.random.fork_rng(devices=[]):
        attention.dense = LoRALinear.wrap(
            attention.dense, "selfattn", model_config, adapters_config, attn_key=ATTENTION_OUTPUT
        )


def _do_nothing(model_config: Any, adapters_config: Any) -> None:
    """Stands where the layers of a model are set up already."""


def link_prefixes(model: Any) -> None:
    """Link prefix tuning to its prefixes again: AdapterHub cuts the links to save a model."""
    model.apply_to_adapter_layers(lambda _, layer: model._link_prefix_to_pool(layer))


def _repeat_for_parallel(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    adjust_tensors_for_parallel_(inputs[0], inputs[1])
    return inputs


class RecursiveModelWithAdapters(RecursiveModelAdaptersMixin, RecursiveModel):
    """`RecursiveModel` after `adapters.init`."""


# What adapters.init looks a model up by: its layers are ALBERT's, its mixin is ours.
MODEL_MIXIN_MAPPING[RecursiveModel.__name__] = RecursiveModelAdaptersMixin
SPECIAL_MODEL_TYPE_TO_MODULE_NAME[RecursiveConfig.model_type] = "albert"


class RecursiveAdapterModel(AlbertAdapterModel):  # type: ignore[misc]
    """AdapterHub's `AlbertAdapterModel` over a recursive backbone.

    Everything `AlbertAdapterModel` offers works per recursion step: layer ``i`` is step ``i``.
    """

    config_class = RecursiveConfig
    supports_gradient_checkpointing = True

    def __init__(self, config: RecursiveConfig) -> None:
        super(AlbertAdapterModel, self).__init__(config)
        self.albert = RecursiveModel(config)
        self.config = self.albert.config
        adapters.init(self.albert)
        self._init_head_modules()
        self.init_weights()

    def forward(
        self,
        *args: Any,
        states: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Compute as `AlbertAdapterModel.forward` does, or only what is asked for.

        Args:
            args: As `AlbertAdapterModel.forward` takes them; so are `kwargs`.
            states: What `prefix_states` makes of the text. The frozen prefix is not run then.
            positions: The tokens of each text that the head reads, shape (batch, some), and for
                which there are labels if there are any. Logits of tokens are (batch, some, tags)
                then, and a head that reads one token of a text reads the first of these.
            kwargs: See `args`. With `states` or `positions`, ``attention_mask`` must be given.
        """
        if states is None and positions is None:
            return super().forward(*args, **kwargs)
        return self._read(*args, states=states, positions=positions, **kwargs)

    @ForwardContext.wrap  # type: ignore[untyped-decorator]
    def _read(
        self,
        input_ids: torch.Tensor | None = None,
        *,
        states: torch.Tensor | None,
        positions: torch.Tensor | None,
        attention_mask: torch.Tensor,
        head: str | None = None,
        **kwargs: Any,
    ) -> Any:
        outputs = self.albert(
            input_ids, attention_mask=attention_mask, states=states, positions=positions
        )
        return self.forward_head(
            outputs,
            head_name=head,
            attention_mask=attention_mask if positions is None else None,
            return_dict=True,
            pooled_output=outputs.pooler_output,
            **kwargs,
        )

    def set_blocks(self, block_of_step: Sequence[int]) -> None:
        """Change which steps share a block; see `RecursiveModel.set_blocks`."""
        self.albert.set_blocks(block_of_step)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """As transformers' method; the model can be used as before afterwards."""
        super().save_pretrained(save_directory, **kwargs)
        link_prefixes(self)

    def add_prediction_head_from_config(
        self,
        head_name: str,
        config: dict[str, Any],
        overwrite_ok: bool = False,
        set_active: bool = True,
    ) -> None:
        """Add a head as AdapterHub describes it; called where saved and static heads are loaded.

        AdapterHub's table of static heads knows one activation for all of ALBERT. A static
        masked-LM head has the activation, and MiniALBERT's the width, of its backbone.
        """
        if config.get("activation_function") == OF_THE_BACKBONE:
            own = self.config.mlm_head == "miniALBERT"
            config |= {
                "activation_function": "gelu" if own else self.config.hidden_act,
                "embedding_size": self.config.hidden_size if own else self.config.embedding_size,
            }
        super().add_prediction_head_from_config(head_name, config, overwrite_ok, set_active)

    @classmethod
    def _load_pretrained_model(
        cls, model: Any, *args: Any, key_mapping: dict[str, str] | None = None, **kwargs: Any
    ) -> Any:
        # AdapterHub overlooks the bias beside the decoder of ALBERT's static masked-LM head.
        if "RecursiveForMaskedLM" in (model.config.architectures or ()):
            key_mapping = {r"^predictions\.bias$": "heads.default.3.bias"} | (key_mapping or {})
        return super()._load_pretrained_model(model, *args, key_mapping=key_mapping, **kwargs)
