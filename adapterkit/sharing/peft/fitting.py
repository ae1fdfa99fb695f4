"""Whether a stock model computes what a backbone and a task's head compute."""

from __future__ import annotations

from adapterkit.backbones.loading import Backbone
from adapterkit.runs.errors import UserError
from adapterkit.sharing.peft.layouts import StockLayout
from adapterkit.tasks.config import TaskConfig


def check_stock(backbone: Backbone, task: TaskConfig, stock: StockLayout) -> None:
    """Check that a kind of stock model can stand for a backbone with the head of a task.

    Raises:
        UserError: It computes something else; says what differs.
    """
    if (found := _missing(backbone, stock)) is not None:
        raise UserError(
            f"PEFT cannot adapt this backbone: no stock {stock.name.upper()} computes it.",
            where=f"backbone {backbone.id}",
            found=found,
            allowed="a backbone that is an ALBERT with a layer group for each step, or a BERT",
            hint="keep to adapterkit's packages; plain `adapters` loads them",
        )
    if task.kind != "ner":
        raise UserError(
            "PEFT's head for this task would be another one.",
            where=f"task {task.name}",
            found="a classification head on the first token's last state",
            allowed="NER tasks; the stock head for whole texts reads a pooler instead",
        )


def _missing(backbone: Backbone, stock: StockLayout) -> str | None:
    config = backbone.model.config
    if backbone.has_layerwise:
        return "layer-wise adapters, for which neither a stock model nor PEFT has a place"
    if config.embedding_adapter_size is not None:
        return "an adapter in front of step 0, for which no stock model has a place"
    if stock.name == "bert" and config.embedding_projection:
        return "a projection of the embeddings, which no BERT has"
    if stock.name == "bert" and backbone.has_relaxed:
        return "low-rank updates of its steps, which only `backbones export` makes part of them"
    return None
