from __future__ import annotations

from pathlib import Path

import pytest
from transformers import BertTokenizerFast

from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.students.token_store import TokenStore, tokenise, tokenizer_fingerprint
from tests.students.conftest import WORDS


def _tokenise(path: Path, tokenizer: BertTokenizerFast, cache: Path) -> TokenStore:
    return tokenise([path], [sha256_file(path)], tokenizer, cache)


def test_pieces_are_the_tokenizers_document_after_document(
    tmp_path: Path, tokenizer: BertTokenizerFast
) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("renal failure\nthe drug\n\nasthma\n\n\x01\n\npain pain\n", encoding="utf-8")
    store = _tokenise(path, tokenizer, tmp_path / "cache")
    expected = tokenizer.convert_tokens_to_ids(
        ["renal", "failure", "the", "drug", "asthma", "pain", "pain"]
    )
    assert store.tokens.tolist() == expected
    assert store.ends.tolist() == [4, 5, 7]


def test_many_passages_keep_their_order(tmp_path: Path, tokenizer: BertTokenizerFast) -> None:
    lines = [WORDS[i % len(WORDS)] for i in range(2500)]
    path = tmp_path / "corpus.txt"
    path.write_text("\n\n".join(lines), encoding="utf-8")
    seen: list[int] = []
    store = tokenise([path], [sha256_file(path)], tokenizer, tmp_path / "cache", seen.append)
    assert store.tokens.tolist() == tokenizer.convert_tokens_to_ids(lines)
    assert store.ends.tolist() == list(range(1, 2501))
    assert seen == [1000, 2000, 2500]


def test_special_tokens_in_the_text_are_text(tmp_path: Path, tokenizer: BertTokenizerFast) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("the [MASK] drug [PAD]\n", encoding="utf-8")
    store = _tokenise(path, tokenizer, tmp_path / "cache")
    assert tokenizer.mask_token_id not in store.tokens
    assert tokenizer.pad_token_id not in store.tokens


def test_the_cache_is_used_and_keyed_by_text_and_tokenizer(
    tmp_path: Path, tokenizer: BertTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "corpus.txt", tmp_path / "cache"
    path.write_text("the drug\n", encoding="utf-8")
    first = _tokenise(path, tokenizer, cache)
    tokenizer(["the", "the drug"], padding=True, truncation=True, max_length=3)
    with monkeypatch.context() as patched:
        patched.setattr("adapterkit.students.token_store.read_documents", None)
        assert _tokenise(path, tokenizer, cache).tokens.tolist() == first.tokens.tolist()
    path.write_text("the pain\n", encoding="utf-8")
    assert _tokenise(path, tokenizer, cache).tokens.tolist() != first.tokens.tolist()
    before = tokenizer_fingerprint(tokenizer)
    tokenizer.add_tokens(["thedrug"])
    assert tokenizer_fingerprint(tokenizer) != before


@pytest.mark.parametrize("content", ["", "\n \n\n"])
def test_an_empty_corpus_is_refused_and_leaves_no_cache(
    tmp_path: Path, tokenizer: BertTokenizerFast, content: str
) -> None:
    path, cache = tmp_path / "corpus.txt", tmp_path / "cache"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="no text") as error:
        _tokenise(path, tokenizer, cache)
    assert "corpus.txt" in str(error.value)
    assert not list(cache.glob("*/pieces"))


def test_a_wrong_byte_is_told_with_its_line(tmp_path: Path, tokenizer: BertTokenizerFast) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"the drug\n\nna\xefve\n")
    with pytest.raises(UserError, match="not UTF-8") as error:
        _tokenise(path, tokenizer, tmp_path / "cache")
    assert "line 3" in str(error.value)
    path.write_bytes(b"the drug\n\nnaive\n")
    assert len(_tokenise(path, tokenizer, tmp_path / "cache").ends) == 2


def test_a_killed_writer_leaves_nothing_that_is_used(
    tmp_path: Path, tokenizer: BertTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "corpus.txt", tmp_path / "cache"
    path.write_text("the drug\n\npain\n", encoding="utf-8")

    def killed(pieces: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenise([path], [sha256_file(path)], tokenizer, cache, killed)
    assert _tokenise(path, tokenizer, cache).ends.tolist() == [2, 3]


def test_a_cache_cut_short_is_refused(tmp_path: Path, tokenizer: BertTokenizerFast) -> None:
    path, cache = tmp_path / "corpus.txt", tmp_path / "cache"
    path.write_text("the drug\n", encoding="utf-8")
    _tokenise(path, tokenizer, cache)
    (tokens,) = cache.glob("*/pieces/tokens.bin")
    tokens.write_bytes(tokens.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged") as error:
        _tokenise(path, tokenizer, cache)
    assert "remove" in (error.value.hint or "")
