"""Where the matrices of a recursion step stand in stock models, as PEFT names them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from adapterkit.backbones.bert_layers import BERT_MODULES
from adapterkit.runs.errors import UserError

MATRICES: Final = {
    "q": "attention.query",
    "k": "attention.key",
    "v": "attention.value",
    "intermediate": "ffn",
    "output": "ffn_output",
}
"""The block's matrices that LoRA can adapt, by the letter or option that plans have for them."""

WRAPPED: Final = "base_model.model."
"""What PEFT puts before the name of every tensor."""

_OURS = re.compile(
    r"albert\.encoder\.albert_layer_groups\.(\d+)\.albert_layers\.0\.(.+)\.loras\.[^.]+\.lora_([AB])"
)


@dataclass(frozen=True)
class StockLayout:
    """How a stock model for token classification names what LoRA adapts.

    Args:
        name: Of the kind of model.
        model: Its class in transformers.
        step: Where a step's block stands, to be formatted with ``step``.
        modules: The stock name of each of the block's matrices.
        groups: What PEFT calls the list that the steps stand in (``layers_pattern``).
    """

    name: str
    model: str
    step: str
    modules: Mapping[str, str]
    groups: str

    def module(self, step: int, matrix: str) -> str:
        """The module of a step that the block calls `matrix`, such as ``"ffn"``."""
        return f"{self.step.format(step=step)}.{self.modules[matrix]}"

    def find(self, module: str) -> tuple[int, str] | None:
        """The step and the block's name of a module, or None if it is no matrix of a step."""
        before, after = map(re.escape, self.step.split("{step}"))
        match = re.fullmatch(rf"{before}(0|[1-9][0-9]{{0,2}}){after}\.(.+)", module)
        if match is None:
            return None
        return next(
            ((int(match[1]), ours) for ours, theirs in self.modules.items() if theirs == match[2]),
            None,
        )


LAYOUTS: dict[str, StockLayout] = {
    layout.name: layout
    for layout in (
        StockLayout(
            "albert",
            "AlbertForTokenClassification",
            "albert.encoder.albert_layer_groups.{step}.albert_layers.0",
            {matrix: matrix for matrix in MATRICES.values()},
            "albert_layer_groups",
        ),
        StockLayout(
            "bert",
            "BertForTokenClassification",
            "bert.encoder.layer.{step}",
            {matrix: BERT_MODULES[matrix] for matrix in MATRICES.values()},
            "layer",
        ),
    )
}
"""The stock models that compute what some backbone computes, by kind."""


def stock_layout(name: str) -> StockLayout:
    """The layout of that name.

    Raises:
        UserError: There is none.
    """
    if name not in LAYOUTS:
        raise UserError(
            "There is no such kind of stock model.", where="--model", found=name, allowed=LAYOUTS
        )
    return LAYOUTS[name]


def update_place(tensor: str) -> tuple[int, str, str] | None:
    """Step, matrix and ``"A"`` or ``"B"`` of a tensor of LoRA by its name in an adapted model."""
    match = _OURS.fullmatch(tensor)
    return (int(match[1]), match[2], match[3]) if match else None
