"""Batches cut by tokens, of windows of like length."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.encoding import IGNORED, Encoded

if TYPE_CHECKING:
    from adapterkit.tuning.state_file import StateFile
    from adapterkit.tuning.teaching import Teaching

Features = dict[str, torch.Tensor]
TEACHER = "teacher_logits"
"""What a batch calls the logits of a teacher."""

_POOL_BATCHES = 32
_ENOUGH = 512
"""Word pieces of a batch, padding included, that keep a processor busy."""


class WindowDataset(Dataset[int]):
    """The windows of a split; an item is its index, which `Collator` turns into tensors."""

    def __init__(self, encoded: Encoded) -> None:
        self.lengths = [len(window.input_ids) for window in encoded.windows]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> int:
        return index


class TokenBatches(Sampler[list[int]]):
    """Batches of at most `batch_tokens` word pieces, padding included.

    Windows are shuffled, sorted by length within pools of about 32 batches, cut, and the batches
    shuffled. A batch is at least three quarters full where windows allow it, for what is learnt
    depends on its size. Every epoch has the same number of batches, which resuming in mid-epoch
    relies on.

    Args:
        lengths: Word pieces of each window.
        batch_tokens: Budget of a batch; a longer window is a batch of its own.
        seed: Of the order.
        epochs: Number of epochs that will be asked for.
    """

    def __init__(self, lengths: Sequence[int], batch_tokens: int, seed: int, epochs: int) -> None:
        self._lengths, self._budget, self._seed = lengths, batch_tokens, seed
        self._filled = max(_ENOUGH, batch_tokens * 3 // 4)
        self.epoch = 0
        self._count = max(len(self._cut(epoch)) for epoch in range(epochs))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[int]]:
        rng = random.Random(f"{self._seed}/{self.epoch}/order")
        batches = self._cut(self.epoch)
        while len(batches) < self._count:
            largest = max(range(len(batches)), key=lambda index: len(batches[index]))
            batch = batches.pop(largest)
            batches += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
        rng.shuffle(batches)
        return iter(batches)

    def _cut(self, epoch: int) -> list[list[int]]:
        order = list(range(len(self._lengths)))
        random.Random(f"{self._seed}/{epoch}/pools").shuffle(order)
        batches: list[list[int]] = []
        pool: list[int] = []
        held = 0
        for index in order:
            pool.append(index)
            held += self._lengths[index]
            if held >= _POOL_BATCHES * self._budget:
                batches += self._cut_pool(pool)
                pool, held = [], 0
        return batches + self._cut_pool(pool)

    def _cut_pool(self, pool: Sequence[int]) -> list[list[int]]:
        return cut_by_tokens(pool, self._lengths, self._budget, self._filled)


def cut_by_tokens(
    indices: Sequence[int], lengths: Sequence[int], batch_tokens: int, filled: int = _ENOUGH
) -> list[list[int]]:
    """Cut windows, sorted by length, into batches of at most `batch_tokens` padded word pieces.

    A batch of more than `filled` padded word pieces, by default what keeps a processor busy, ends
    where a longer window would make more than a twentieth of it padding.
    """
    batches: list[list[int]] = []
    pieces = 0
    for index in sorted(indices, key=lambda i: (lengths[i], i)):
        padded = (len(batches[-1]) + 1) * lengths[index] if batches else 0
        dense = padded <= filled or padded <= 1.05 * (pieces + lengths[index])
        if batches and padded <= batch_tokens and dense:
            batches[-1].append(index)
            pieces += lengths[index]
        else:
            batches.append([index])
            pieces = lengths[index]
    return batches


def padding_share(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """The share of word pieces in `batches` that are padding."""
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return 1 - sum(lengths[i] for batch in batches for i in batch) / padded if padded else 0.0


class Collator:
    """Turns indices of windows into padded tensors.

    ``input_ids`` and ``attention_mask`` are (batch, tokens). ``positions`` are (batch, scored) of
    the tokens that the head reads: those that are scored, or the first of a text to classify; where
    a window has fewer than others, its first token stands in. ``labels`` are (batch, scored) of tag
    ids for NER, (batch,) of class ids, or (batch, classes) of zeros and ones. Where the states of
    the frozen prefix are kept, ``states`` are those of `prefix_states`, zero at padding. A
    teacher's logits are ``teacher_logits``, of the shape of the head's.
    """

    def __init__(
        self,
        task: TaskConfig,
        encoded: Encoded,
        pad_token_id: int,
        states: StateFile | None = None,
        teaching: Teaching | None = None,
    ) -> None:
        self._task, self._encoded, self._pad = task, encoded, pad_token_id
        self._states, self._teaching = states, teaching

    def __call__(self, indices: Sequence[int]) -> Features:
        """The tensors of the windows with these indices."""
        windows = [self._encoded.windows[index] for index in indices]
        width = max(len(window.input_ids) for window in windows)
        lengths = torch.tensor([len(window.input_ids) for window in windows])
        features = {
            "input_ids": _padded([window.input_ids for window in windows], width, self._pad),
            "attention_mask": (torch.arange(width)[None] < lengths[:, None]).long(),
        }
        if self._task.kind == "ner":
            scored = max(1, *(len(window.positions) for window in windows))
            labels = [[window.labels[at] for at in window.positions] for window in windows]
            features["labels"] = _padded(labels, scored, IGNORED)
            features["positions"] = _padded([window.positions for window in windows], scored, 0)
        else:
            features["positions"] = torch.zeros(len(windows), 1, dtype=torch.long)
            features["labels"] = self._targets([window.example for window in windows])
        if self._states is not None:
            features["states"] = self._states.padded(indices, width)
        if self._teaching is not None:
            scored = features["positions"].shape[1]
            features[TEACHER] = self._teaching.padded(indices, scored)
        return features

    def _targets(self, examples: Sequence[int]) -> torch.Tensor:
        targets = [self._encoded.targets[example] for example in examples]
        if self._task.kind == "classification":
            return torch.tensor([target[0] for target in targets])
        hot = torch.zeros(len(targets), len(self._task.labels))
        for row, target in enumerate(targets):
            hot[row, list(target)] = 1.0
        return hot


class EpochLoader(DataLoader[int]):
    """A data loader whose batch sampler is told the epoch."""

    batch_sampler: TokenBatches

    def set_epoch(self, epoch: int) -> None:
        """Shuffle as in epoch `epoch`, counted from 0."""
        self.batch_sampler.epoch = epoch


def _padded(rows: Sequence[Sequence[int]], width: int, value: int) -> torch.Tensor:
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
