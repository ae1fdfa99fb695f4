"""The task's head."""

from __future__ import annotations

import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.tasks.config import TaskConfig


def add_head(model: RecursiveAdapterModel, task: TaskConfig, name: str, seed: int) -> None:
    """Add and activate the head a task needs: dropout and one linear layer, as MiniALBERT's.

    Args:
        model: Changed in place.
        task: NER gets a tagging head, others a classification head on the first token's state.
        name: AdapterHub name of the head.
        seed: Of its weights; the random state outside is left as it was.
    """
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
    model.active_head = name
