"""The task's head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapterkit.tasks.config import TaskConfig

if TYPE_CHECKING:
    from adapterkit.backbones.adapter_model import RecursiveAdapterModel


def head_parameters(task: TaskConfig, hidden_size: int) -> int:
    """How many parameters the head has that `add_head` adds to a model of this width."""
    return len(task.output_names) * (hidden_size + 1)


def add_head(model: RecursiveAdapterModel, task: TaskConfig, name: str, seed: int) -> None:
    """Add and activate the head a task needs: dropout and one linear layer, as MiniALBERT's.

    Args:
        model: Changed in place.
        task: NER gets a tagging head, others a classification head on the first token's state.
        name: AdapterHub name of the head.
        seed: Of its weights; the random state outside is left as it was.
    """
    import torch

    names = task.output_names
    id2label = dict(enumerate(names))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if task.kind == "ner":
            model.add_tagging_head(
                name, num_labels=len(names), layers=1, activation_function=None, id2label=id2label
            )
        else:
            model.add_classification_head(
                name,
                num_labels=len(names),
                layers=1,
                activation_function=None,
                multilabel=task.kind == "multilabel",
                id2label=id2label,
            )
    hasten_dropout(model, name)
    model.active_head = name


def hasten_dropout(model: RecursiveAdapterModel, name: str) -> None:
    """Let the dropout of a head draw its numbers as the steps do."""
    from torch import nn

    from adapterkit.backbones.dropout import StepDropout

    for module in model.heads[name].modules():
        if type(module) is nn.Dropout:
            module.__class__ = StepDropout
