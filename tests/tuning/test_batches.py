"""Batches by tokens, and the tensors of a batch."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.backbones.loading import load_backbone
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.encoding import IGNORED, Encoded, Window, encode
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.sources import load_data
from adapterkit.tuning.batches import (
    Collator,
    EpochLoader,
    TokenBatches,
    WindowDataset,
    cut_by_tokens,
    padding_share,
)

EPOCHS = 5


def lengths_of(count: int, seed: int = 0) -> list[int]:
    rng = random.Random(seed)
    return [min(128, 3 + int(rng.lognormvariate(3, 0.7))) for _ in range(count)]


def epochs_of(sampler: TokenBatches) -> list[list[list[int]]]:
    made = []
    for epoch in range(EPOCHS):
        sampler.epoch = epoch
        made.append(list(sampler))
    return made


@pytest.mark.parametrize(("count", "budget"), [(1, 64), (7, 512), (500, 256), (3000, 512)])
def test_every_window_once_an_epoch_within_the_budget(count: int, budget: int) -> None:
    lengths = lengths_of(count)
    for batches in epochs_of(TokenBatches(lengths, budget, seed=3, epochs=EPOCHS)):
        assert sorted(index for batch in batches for index in batch) == list(range(count))
        assert all(len(batch) * max(lengths[i] for i in batch) <= budget for batch in batches)


def test_a_window_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    lengths = [10] * 20 + [100] + [10] * 20
    (batches, *_) = epochs_of(TokenBatches(lengths, 50, seed=0, epochs=EPOCHS))
    assert [20] in batches
    assert all(len(batch) * 10 <= 50 for batch in batches if batch != [20])
    assert sorted(index for batch in batches for index in batch) == list(range(41))


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    lengths = lengths_of(400)
    first = epochs_of(TokenBatches(lengths, 256, seed=1, epochs=EPOCHS))
    assert first == epochs_of(TokenBatches(lengths, 256, seed=1, epochs=EPOCHS))
    assert first != epochs_of(TokenBatches(lengths, 256, seed=2, epochs=EPOCHS))
    assert all(one != other for one, other in itertools.pairwise(first))
    torch.manual_seed(99)
    random.seed(99)
    assert first == epochs_of(TokenBatches(lengths, 256, seed=1, epochs=EPOCHS))


@pytest.mark.parametrize("seed", range(8))
def test_every_epoch_has_as_many_batches(seed: int) -> None:
    sampler = TokenBatches(lengths_of(333, seed), 200, seed=seed, epochs=EPOCHS)
    assert {len(batches) for batches in epochs_of(sampler)} == {len(sampler)}


def test_windows_of_like_length_stand_together() -> None:
    lengths = lengths_of(5000)
    batches = list(TokenBatches(lengths, 512, seed=0, epochs=1))
    shuffled = list(range(5000))
    random.Random(0).shuffle(shuffled)
    blind = [shuffled[start : start + 16] for start in range(0, 5000, 16)]
    assert padding_share(batches, lengths) < 0.05 < padding_share(blind, lengths)


@pytest.mark.parametrize("budget", [512, 2048, 8192])
def test_batches_of_training_are_filled(budget: int) -> None:
    lengths = lengths_of(8000)
    batches = list(TokenBatches(lengths, budget, seed=0, epochs=1))
    padded = [len(batch) * max(lengths[i] for i in batch) for batch in batches]
    # Each pool of 32 batches ends with one that holds what is left.
    few = 1 + sum(lengths) // (32 * budget)
    assert sum(held < 0.7 * budget for held in padded) <= few
    assert padding_share(batches, lengths) < 0.06


def test_the_share_of_padding() -> None:
    assert padding_share([[0, 1], [2]], [5, 10, 7]) == pytest.approx(5 / 27)
    assert padding_share([], []) == 0.0


def test_little_padding_on_a_real_corpus(corpora: Path) -> None:
    task = load_task("bc5cdr")
    examples = load_data(task, "auto", ("train",)).splits["train"]
    encoded = encode(task, examples, load_backbone().tokenizer, 256)
    lengths = WindowDataset(encoded).lengths
    assert len(lengths) >= 4560
    sampler = TokenBatches(lengths, 1024, seed=0, epochs=EPOCHS)
    for batches in epochs_of(sampler):
        assert padding_share(batches, lengths) < 0.05


def test_cutting_keeps_the_windows_sorted() -> None:
    assert cut_by_tokens([3, 1, 0, 2], [4, 2, 8, 2], 8) == [[1, 3], [0], [2]]


def test_the_loader_is_told_the_epoch() -> None:
    lengths = lengths_of(100)
    sampler = TokenBatches(lengths, 128, seed=0, epochs=2)
    dataset = WindowDataset(Encoded(tuple(_window(n) for n in lengths), (), 0))
    loader = EpochLoader(dataset, batch_sampler=sampler, collate_fn=list)
    first = list(loader)
    loader.set_epoch(1)
    assert list(loader) != first
    loader.set_epoch(0)
    assert list(loader) == first


def _window(length: int, example: int = 0) -> Window:
    ids = tuple(range(1, length + 1))
    return Window(example, ids, (), (), tuple(i % 3 for i in ids))


def task_of(kind: str) -> TaskConfig:
    return TaskConfig.model_validate(
        {"name": "t", "kind": kind, "labels": ["a", "b", "c"], "files": {"train": "t.tsv"}}
    )


@given(st.lists(st.integers(3, 256), max_size=300), st.sampled_from([512, 1024, 4096]))
def test_large_batches_hold_little_padding(lengths: list[int], budget: int) -> None:
    batches = cut_by_tokens(range(len(lengths)), lengths, budget)
    assert sorted(index for batch in batches for index in batch) == [*range(len(lengths))]
    for batch in batches:
        padded = len(batch) * max(lengths[index] for index in batch)
        assert padded <= budget
        assert padded <= 512 or padding_share([batch], lengths) <= 0.05


def test_tensors_of_tags() -> None:
    short, long = _window(3), _window(5)
    short = replace(short, words=(0,), positions=(1,))
    long = replace(long, words=(0, 1), positions=(1, 3))
    encoded = Encoded((short, long), (), 0)
    features = Collator(task_of("ner"), encoded, pad_token_id=9)([1, 0])
    assert features["input_ids"].tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 9, 9]]
    assert features["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert features["positions"].tolist() == [[1, 3], [1, 0]]
    assert features["labels"].tolist() == [[2, 1], [2, IGNORED]]


def test_tensors_of_classes() -> None:
    windows = (_window(2, 0), _window(2, 1), _window(2, 2))
    single = Encoded(windows, ((2,), (0,), (1,)), 0)
    features = Collator(task_of("classification"), single, 0)([2, 0])
    assert features["positions"].tolist() == [[0], [0]]
    labels = features["labels"]
    assert labels.tolist() == [1, 2]
    assert labels.dtype == torch.long
    several = Encoded(windows, ((0, 2), (), (1,)), 0)
    labels = Collator(task_of("multilabel"), several, 0)([0, 1, 2])["labels"]
    assert labels.tolist() == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert labels.dtype == torch.float32
