"""The student's embeddings, from the teacher's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from transformers import BertModel

from adapterkit.backbones.adapter_model import RecursiveAdapterModel


def factorise_embeddings(
    model: RecursiveAdapterModel, encoder: BertModel, counts: torch.Tensor | None = None
) -> None:
    """Give the student the teacher's embedding tables, factorised by truncated SVD.

    At the teacher's own width they are its tables and LayerNorm themselves.

    Args:
        model: The student; changed in place.
        encoder: The teacher.
        counts: How often each word piece stands in the text to come, shape (vocabulary,): the
            directions kept are those in which that text differs most. None: all count alike.
    """
    source: Any = encoder.embeddings
    target: Any = model.albert.embeddings
    if model.config.embedding_size == encoder.config.hidden_size:
        # A rotation at full width would only be in the way of the LayerNorm.
        kept = {k: v for k, v in source.state_dict().items() if k in target.state_dict()}
        target.load_state_dict(kept)
        return
    table = source.word_embeddings.weight.detach()
    # LayerNorm follows the sum in the narrow space, so the scale is free; 1 keeps it tame.
    if counts is None:
        centre = table.mean(0)
        _, _, rows = torch.linalg.svd(table - centre, full_matrices=False)
    else:
        # A piece that was not seen still counts a little.
        share = ((counts + 0.1) / (counts + 0.1).sum()).to(table)
        centre = share @ table
        _, _, rows = torch.linalg.svd((table - centre) * share.sqrt()[:, None], full_matrices=False)
    basis = rows[: model.config.embedding_size].T
    with torch.no_grad():
        target.word_embeddings.weight.copy_((table - centre) @ basis)
        for name in ("position_embeddings", "token_type_embeddings"):
            getattr(target, name).weight.copy_(getattr(source, name).weight @ basis)


def count_word_pieces(
    batches: Iterable[Mapping[str, torch.Tensor]], vocabulary: int
) -> torch.Tensor:
    """How often each word piece stands in some text, shape (vocabulary,); padding not counted."""
    counts = torch.zeros(vocabulary)
    for batch in batches:
        ids = batch["input_ids"][batch["attention_mask"].bool()]
        counts += torch.bincount(ids, minlength=vocabulary)
    return counts


def fit_projection(
    model: RecursiveAdapterModel,
    encoder: BertModel,
    batches: Iterable[Mapping[str, torch.Tensor]],
    ridge: float = 1e-3,
) -> float | None:
    """Set the embedding projection to the least-squares map onto the teacher's embedding output.

    Args:
        model: The student; changed in place.
        encoder: The teacher.
        batches: Text to fit on, ``input_ids`` and ``attention_mask``.
        ridge: Weight of the penalty on the map, relative to the mean square of its input.

    Returns:
        The share of the teacher's variance that the map explains, on the same text. None where
        there is nothing to fit: the student has no projection, or another width than the teacher.
    """
    wanted = model.config.hidden_size == encoder.config.hidden_size
    if not (wanted and model.config.embedding_projection):
        return None
    narrow, wide = [], []
    own: Any = model.albert.embeddings
    theirs: Any = encoder.embeddings
    with torch.no_grad():
        for batch in batches:
            kept = batch["attention_mask"].bool()
            narrow.append(own(batch["input_ids"])[kept])
            wide.append(theirs(batch["input_ids"])[kept])
        inputs, targets = torch.cat(narrow), torch.cat(wide)
        mean_in, mean_out = inputs.mean(0), targets.mean(0)
        x, y = inputs - mean_in, targets - mean_out
        gram = x.T @ x
        gram.diagonal().add_(ridge * gram.diagonal().mean())
        weight = torch.linalg.solve(gram, x.T @ y)
        projection: Any = model.albert.encoder.embedding_hidden_mapping_in
        projection.weight.copy_(weight.T)
        projection.bias.copy_(mean_out - mean_in @ weight)
        return float(1 - (y - x @ weight).square().sum() / y.square().sum())
