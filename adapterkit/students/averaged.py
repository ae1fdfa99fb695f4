"""A recursive student that starts as the average of its teacher's layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from transformers import BertModel

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.students import start as starts


def averaged_student(
    teacher: BertModel, embedding_size: int, reduction_factor: float
) -> RecursiveAdapterModel:
    """A student of the teacher's depth and width whose block is the mean of the teacher's layers.

    Args:
        teacher: A BERT encoder.
        embedding_size: Width of the factorised embedding tables.
        reduction_factor: Hidden over bottleneck width of the layer-wise adapters.
    """
    layers = tuple(range(1, teacher.config.num_hidden_layers + 1))
    start = starts.Start(
        "average", layers, embedding_size=embedding_size, reduction_factor=reduction_factor
    )
    return starts.build_student(start, teacher)


def fit_projection(
    model: RecursiveAdapterModel,
    teacher: BertModel,
    batches: Iterable[Mapping[str, torch.Tensor]],
    ridge: float = 1e-3,
) -> float:
    """As `start.fit_projection`, of a student that `averaged_student` made."""
    explained = starts.fit_projection(model, teacher, batches, ridge)
    assert explained is not None
    return explained
