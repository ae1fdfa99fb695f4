"""The recursive model under AdapterHub, with flexible heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import adapters
from adapters import AlbertAdapterModel
from adapters.composition import adjust_tensors_for_parallel_
from adapters.models import MODEL_MIXIN_MAPPING
from adapters.models.albert.mixin_albert import AlbertModelAdaptersMixin
from adapters.wrappers.model import SPECIAL_MODEL_TYPE_TO_MODULE_NAME
from torch import nn

from adapterkit.backbones.adapter_layers import StepBottleneckLayer, StepLoRALinear
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.model import RecursiveModel

LORA_MODULES = ("attention.query", "attention.key", "attention.value", "ffn", "ffn_output")
BOTTLENECK_SLOTS = ("attention.attention_adapters", "output_adapters")


class RecursiveModelAdaptersMixin(AlbertModelAdaptersMixin):  # type: ignore[misc]
    """AdapterHub's mixin for a model whose layers share parameters."""

    def init_adapters(self, model_config: Any, adapters_config: Any) -> None:
        """Prepare every recursion step for adapters, and share what the steps share again."""
        # adapters.init makes a class on the fly; one that a module holds can be pickled.
        self.__class__ = RecursiveModelWithAdapters
        super().init_adapters(model_config, adapters_config)
        self.tie_weights()

    def _init_adapters_submodules(self, model_config: Any, adapters_config: Any) -> None:
        super()._init_adapters_submodules(model_config, adapters_config)
        for step, layer in self.iter_layers():
            for name in LORA_MODULES:
                linear = layer.get_submodule(name)
                linear.__class__ = StepLoRALinear
                linear.locate(step, name)
            for name in BOTTLENECK_SLOTS:
                layer.get_submodule(name).__class__ = StepBottleneckLayer

    def set_blocks(self, block_of_step: Sequence[int]) -> None:
        """Change which steps share a block; see `RecursiveModel.set_blocks`.

        Raises:
            ValueError: `block_of_step` is no layout of these steps, or an adapter is merged and
                could no longer be taken out; nothing was changed.
        """
        if any(isinstance(m, StepLoRALinear) and m.merged for m in self.modules()):
            raise ValueError("an adapter is merged: reset it, or save and load, before set_blocks")
        super().set_blocks(block_of_step)

    def _set_layer_hook_for_parallel(self, layer: nn.Module) -> None:
        layer.register_forward_pre_hook(_repeat_for_parallel)


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
        adapters.init(self.albert)
        self._init_head_modules()
        self.init_weights()

    def set_blocks(self, block_of_step: Sequence[int]) -> None:
        """Change which steps share a block; see `RecursiveModel.set_blocks`."""
        self.albert.set_blocks(block_of_step)
