"""Raw text as batches of word pieces."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from adapterkit.runs.errors import UserError

Batch = dict[str, torch.Tensor]

_LENGTHS = (64, 128, 256, 512)
_LENGTH_WEIGHTS = (3, 4, 2, 1)
_POOL_BATCHES = 24


def read_passages(paths: Sequence[Path]) -> list[str]:
    """The passages of text or gzip files, one a line; blank lines only part documents.

    Raises:
        UserError: If a file is not UTF-8 text, or none of them holds a passage.
    """
    passages: list[str] = []
    for path in paths:
        opener = gzip.open if path.suffix == ".gz" else open
        try:
            with opener(path, "rt", encoding="utf-8") as lines:
                passages += [line.strip() for line in lines if line.strip()]
        except (OSError, UnicodeDecodeError, EOFError) as error:
            raise UserError(
                f"cannot read the corpus: {error}",
                where=str(path),
                allowed="UTF-8 text, or gzip of it, one passage a line",
            ) from error
    if not passages:
        raise UserError("the corpus holds no passage", where=", ".join(map(str, paths)))
    return passages


def batches(
    passages: Sequence[str],
    tokenizer: PreTrainedTokenizerFast,
    batch_tokens: int,
    seed: int,
) -> Iterator[Batch]:
    """Endless batches of about `batch_tokens` word pieces, passages in shuffled order.

    Passages are cut to lengths of 64 to 512 pieces, so that short sentences and long abstracts are
    both seen, and pooled by length so that little is padding.

    Args:
        passages: The text.
        tokenizer: A fast tokenizer.
        batch_tokens: Word pieces a batch, padding included.
        seed: Of the order and the lengths.

    Yields:
        ``input_ids`` and ``attention_mask``, each (batch, tokens).
    """
    rng = random.Random(seed)
    pool: list[list[int]] = []
    held = 0
    while True:
        for index in rng.sample(range(len(passages)), len(passages)):
            for piece in _pieces(passages[index], tokenizer, rng):
                pool.append(piece)
                held += len(piece)
            if held >= _POOL_BATCHES * batch_tokens:
                groups = _grouped(sorted(pool, key=len), batch_tokens)
                rng.shuffle(groups)
                for group in groups:
                    yield _collate(group, tokenizer.pad_token_id)
                pool, held = [], 0


def _pieces(
    text: str, tokenizer: PreTrainedTokenizerFast, rng: random.Random
) -> Iterator[list[int]]:
    (length,) = rng.choices(_LENGTHS, _LENGTH_WEIGHTS)
    ids = tokenizer.encode(text, add_special_tokens=False, verbose=False)
    body = length - 2
    for start in range(0, len(ids), body):
        part = ids[start : start + body]
        if len(part) >= 8:
            yield [tokenizer.cls_token_id, *part, tokenizer.sep_token_id]


def _grouped(pieces: list[list[int]], batch_tokens: int) -> list[list[list[int]]]:
    groups: list[list[list[int]]] = [[]]
    for piece in pieces:
        if groups[-1] and (len(groups[-1]) + 1) * len(piece) > batch_tokens:
            groups.append([])
        groups[-1].append(piece)
    return groups


def _collate(group: list[list[int]], pad: int) -> Batch:
    width = max(map(len, group))
    ids = torch.tensor([piece + [pad] * (width - len(piece)) for piece in group])
    lengths = torch.tensor([len(piece) for piece in group])
    return {
        "input_ids": ids,
        "attention_mask": (torch.arange(width)[None] < lengths[:, None]).long(),
    }
