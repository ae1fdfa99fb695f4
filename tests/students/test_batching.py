from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertTokenizerFast

from adapterkit.students.batching import batches
from adapterkit.students.corpus import Corpus, open_corpus
from adapterkit.students.packing import Batch
from tests.students.conftest import WORDS


@pytest.fixture
def corpus(tmp_path: Path, tokenizer: BertTokenizerFast) -> Corpus:
    rng = random.Random(1)
    documents = [" ".join(rng.choices(WORDS, k=rng.randint(3, 300))) for _ in range(60)]
    path = tmp_path / "corpus.txt"
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return open_corpus([path], tokenizer, window=96, held_out=0.1, cache=tmp_path / "cache")


def _take(corpus: Corpus, count: int, **options: Any) -> list[Batch]:
    stream = batches(corpus, **({"batch_tokens": 400, "seed": 3} | options))
    return list(itertools.islice(stream, count))


def _same(left: Batch, right: Batch) -> bool:
    return all(torch.equal(left[name], right[name]) for name in ("input_ids", "attention_mask"))


def test_an_epoch_shows_every_window_in_batches_of_few_shapes(corpus: Corpus) -> None:
    whole = {
        tuple(corpus.train.batch([i], 96)["input_ids"][0].tolist())
        for i in range(len(corpus.train))
    }
    seen: set[tuple[int, ...]] = set()
    shapes = set()
    per_epoch = 0
    while seen != whole:
        per_epoch += 1
        assert per_epoch < 200
        seen = {
            tuple(row + [0] * (96 - len(row)))
            for batch in _take(corpus, per_epoch)
            for row in batch["input_ids"].tolist()
        }
    rows = 0
    for batch in _take(corpus, per_epoch):
        shapes.add(tuple(batch["input_ids"].shape))
        rows += len(batch["input_ids"])
    assert rows - len(whole) < 4 + 6 + 12, "at most one batch of each width is filled up"
    assert sorted(width for _, width in shapes) == [32, 64, 96], "one shape a width"
    assert all(count * width <= 400 for count, width in shapes)


def test_the_order_depends_on_the_seed_and_changes_with_the_epoch(corpus: Corpus) -> None:
    first, again, other = _take(corpus, 40), _take(corpus, 40), _take(corpus, 40, seed=4)
    assert all(map(_same, first, again))
    assert not all(map(_same, first, other))


@pytest.mark.parametrize("start", [1, 17, 233])
def test_starting_later_continues_exactly(corpus: Corpus, start: int) -> None:
    whole = _take(corpus, start + 20)
    assert all(map(_same, whole[start:], _take(corpus, 20, start=start)))


def test_processes_share_the_batches_among_them(corpus: Corpus) -> None:
    whole = _take(corpus, 30)
    for rank in range(3):
        assert all(map(_same, whole[rank::3], _take(corpus, 10, start=rank, stride=3)))


def test_padding_is_masked(corpus: Corpus, tokenizer: BertTokenizerFast) -> None:
    for batch in _take(corpus, 30):
        ids, mask = batch["input_ids"], batch["attention_mask"]
        assert (ids[:, 0] == tokenizer.cls_token_id).all()
        assert ((ids != tokenizer.pad_token_id) == mask.bool()).all()
        last = mask.sum(1) - 1
        assert (ids.gather(1, last[:, None]) == tokenizer.sep_token_id).all()
