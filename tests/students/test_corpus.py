from __future__ import annotations

import gzip
import itertools
import random
from pathlib import Path

import pytest
from transformers import BertTokenizerFast

from adapterkit.runs.errors import UserError
from adapterkit.students.corpus import batches, read_passages
from tests.students.conftest import WORDS


def test_passages_are_the_lines_of_text_and_gzip_files(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.gz"
    plain.write_text("one\n\ntwo \n", encoding="utf-8")
    packed.write_bytes(gzip.compress(b"three\n"))
    assert read_passages([plain, packed]) == ["one", "two", "three"]


@pytest.mark.parametrize("content", [b"\xff\xfe bad", b"", b"\n\n"])
def test_a_corpus_that_is_no_text_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"corpus\.txt|no passage") as error:
        read_passages([path])
    assert "corpus.txt" in str(error.value)


def test_a_torn_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt.gz"
    path.write_bytes(gzip.compress(b"words and words\n" * 500)[:60])
    with pytest.raises(UserError):
        read_passages([path])


def test_batches_keep_to_the_budget_and_repeat_with_the_seed(tokenizer: BertTokenizerFast) -> None:
    rng = random.Random(1)
    passages = [" ".join(rng.choices(WORDS, k=rng.randint(9, 700))) for _ in range(40)]
    first = list(itertools.islice(batches(passages, tokenizer, 1024, seed=3), 30))
    again = list(itertools.islice(batches(passages, tokenizer, 1024, seed=3), 30))
    other = list(itertools.islice(batches(passages, tokenizer, 1024, seed=4), 30))
    shapes = [tuple(batch["input_ids"].shape) for batch in first]
    assert all(rows * width <= 1024 for rows, width in shapes)
    assert {width for _, width in shapes} >= {64, 512}
    assert all((a["input_ids"] == b["input_ids"]).all() for a, b in zip(first, again, strict=True))
    assert shapes != [tuple(batch["input_ids"].shape) for batch in other]


def test_every_piece_is_a_sequence_of_its_own_and_padding_is_masked(
    tokenizer: BertTokenizerFast,
) -> None:
    passages = [" ".join(WORDS[:9]), " ".join(WORDS * 3)] * 200
    for batch in itertools.islice(batches(passages, tokenizer, 256, seed=0), 20):
        ids, mask = batch["input_ids"], batch["attention_mask"]
        assert (ids[:, 0] == tokenizer.cls_token_id).all()
        assert ((ids != tokenizer.pad_token_id) == mask.bool()).all()
        last = mask.sum(1) - 1
        assert (ids.gather(1, last[:, None]) == tokenizer.sep_token_id).all()
