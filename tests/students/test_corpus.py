from __future__ import annotations

import random
from pathlib import Path

import pytest
from transformers import BertTokenizerFast

from adapterkit.runs.errors import UserError
from adapterkit.students.batching import held_out_batches
from adapterkit.students.corpus import Corpus, open_corpus
from adapterkit.students.packing import Windows
from tests.students.conftest import WORDS


@pytest.fixture
def corpus(tmp_path: Path, tokenizer: BertTokenizerFast) -> Corpus:
    rng = random.Random(1)
    documents = [" ".join(rng.choices(WORDS, k=rng.randint(3, 300))) for _ in range(60)]
    path = tmp_path / "corpus.txt"
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return open_corpus([path], tokenizer, window=96, held_out=0.1, cache=tmp_path / "cache")


def test_held_out_documents_are_never_trained_on(
    corpus: Corpus, tmp_path: Path, tokenizer: BertTokenizerFast
) -> None:
    def pieces(windows: Windows) -> set[int]:
        return {
            place
            for start, length in zip(windows.starts, windows.lengths, strict=True)
            for place in range(start, start + length)
        }

    train, held_out = pieces(corpus.train), pieces(corpus.held_out)
    assert not train & held_out
    assert len(train) + len(held_out) == corpus.tokens
    assert 0.1 * corpus.tokens <= len(held_out) <= 0.1 * corpus.tokens + 300
    found = list(held_out_batches(corpus, batch_tokens=400))
    assert sum(len(batch["input_ids"]) for batch in found) == len(corpus.held_out)
    assert sum(int(b["attention_mask"].sum()) for b in found) == int(
        (corpus.held_out.lengths + 2).sum()
    )
    other = open_corpus(
        [tmp_path / "corpus.txt"],
        tokenizer,
        window=96,
        held_out=0.1,
        seed=1,
        cache=tmp_path / "cache",
    )
    assert pieces(other.held_out) != held_out


def test_the_files_are_recorded(corpus: Corpus) -> None:
    (source,) = corpus.files
    assert source.name == "corpus.txt"
    assert len(source.sha256) == 64
    assert corpus.documents == 60


def test_a_corpus_of_one_document_has_nothing_to_hold_out(
    tmp_path: Path, tokenizer: BertTokenizerFast
) -> None:
    path = tmp_path / "one.txt"
    path.write_text("the drug\npain\n", encoding="utf-8")
    with pytest.raises(UserError, match="one document") as error:
        open_corpus([path], tokenizer, cache=tmp_path / "cache")
    assert "held_out" in (error.value.hint or "")
    corpus = open_corpus([path], tokenizer, held_out=0, cache=tmp_path / "cache")
    assert (len(corpus.train), len(corpus.held_out)) == (1, 0)
    assert list(held_out_batches(corpus, batch_tokens=64)) == []


def test_files_that_are_not_there_are_refused(tmp_path: Path, tokenizer: BertTokenizerFast) -> None:
    with pytest.raises(UserError, match=r"cannot be read") as error:
        open_corpus([tmp_path / "none.txt"], tokenizer, cache=tmp_path)
    assert "none.txt" in str(error.value)
    with pytest.raises(UserError, match="no file"):
        open_corpus([], tokenizer, cache=tmp_path)
