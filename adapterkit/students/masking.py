"""Masked language modelling: which word pieces are hidden, and what stands in their place."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from adapterkit.students.packing import Batch

IGNORED = -100
"""Label of a position that is not predicted."""

_AS_MASK, _AS_RANDOM = 0.8, 0.1


def mask(
    batch: Batch, tokenizer: Any, probability: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hide word pieces as BERT does (arXiv 1810.04805, section 3.1).

    Of the pieces chosen 80 % become [MASK], 10 % a random token and 10 % stay. [CLS], [SEP] and
    padding are never chosen.

    Args:
        batch: ``input_ids`` and ``attention_mask``, each (batch, tokens).
        tokenizer: Knows the special tokens and the vocabulary.
        probability: Of choosing a piece.
        generator: Where chance comes from, see `generator_of`; on the CPU, so that a run draws the
            same pieces on every device.

    Returns:
        The ids to read and the labels, `IGNORED` where nothing was chosen; each (batch, tokens).
    """
    ids = batch["input_ids"]
    draw, fate = torch.rand(2, *ids.shape, generator=generator).to(ids.device)
    # len(tokenizer) takes milliseconds; the special tokens of a BERT are in its vocabulary.
    size = tokenizer.vocab_size
    random_ids = torch.randint(size, ids.shape, generator=generator).to(ids.device)
    special = torch.tensor(tokenizer.all_special_ids, device=ids.device)
    words = batch["attention_mask"].bool() & ~torch.isin(ids, special)
    chosen = words & (draw < probability)
    hidden = torch.where(fate < _AS_MASK + _AS_RANDOM, random_ids, ids)
    hidden = torch.where(fate < _AS_MASK, tokenizer.mask_token_id, hidden)
    return torch.where(chosen, hidden, ids), torch.where(chosen, ids, IGNORED)


def generator_of(seed: int, number: int) -> torch.Generator:
    """The chance of one batch: it depends on `seed` and the batch's `number` alone.

    A resumed run thus hides the same pieces as one that was never stopped.
    """
    # PyTorch's CPU generator reads 32 bits of a seed, so the two numbers are hashed into them.
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
