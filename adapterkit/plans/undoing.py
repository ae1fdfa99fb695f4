"""Taking back what was added to a model in vain."""

from __future__ import annotations

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.plans.parts import adapter_names_of, encoder_of


class Undo:
    """Puts a model back to what it was when this was made, where something was added since.

    Args:
        model: The model.
    """

    def __init__(self, model: RecursiveAdapterModel) -> None:
        self.model = model
        self.adapters = set(adapter_names_of(model))
        self.heads = set(model.heads)
        self.sides = set(encoder_of(model).sides)
        self.side = encoder_of(model).active_side
        self.head = model.active_head
        self.active = model.active_adapters
        self.layout = list(model.config.block_of_step)
        self.learning = {n: p.requires_grad for n, p in model.named_parameters()}

    def __call__(self) -> None:
        """Remove what was added, and activate what was active."""
        for adapter in set(adapter_names_of(self.model)) - self.adapters:
            if adapter in self.model.adapters_config.fusions:
                self.model.delete_adapter_fusion(adapter)
            else:
                self.model.delete_adapter(adapter)
        for head in set(self.model.heads) - self.heads:
            self.model.delete_head(head)
        for side in set(encoder_of(self.model).sides) - self.sides:
            del encoder_of(self.model).sides[side]
        encoder_of(self.model).active_side = self.side
        self.model.set_active_adapters(self.active)
        self.model.active_head = self.head
        if self.model.config.block_of_step != self.layout:
            self.model.set_blocks(self.layout)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(self.learning[name])
