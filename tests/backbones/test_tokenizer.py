"""Tokenizers whose files say little."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from adapterkit.backbones.importing import import_checkpoint
from adapterkit.backbones.tokenizer import load_tokenizer
from adapterkit.runs.errors import UserError

from .conftest import WORDS
from .minialbert import Shape, base_tensors, config_of, write


@pytest.mark.parametrize("lacking", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
def test_a_vocabulary_without_special_tokens_is_refused(tmp_path: Path, lacking: str) -> None:
    kept = [word for word in WORDS if word != lacking]
    (tmp_path / "vocab.txt").write_text("\n".join(kept) + "\n")
    with pytest.raises(UserError, match="special tokens") as caught:
        load_tokenizer(tmp_path, vocab_size=50)
    assert lacking in str(caught.value)
    assert "vocab.txt" in str(caught.value)


def test_an_empty_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("")
    with pytest.raises(UserError, match="special tokens"):
        load_tokenizer(tmp_path, vocab_size=50)


def test_the_path_does_not_choose_the_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "roberta-gpt_neox-t5"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    logger = logging.getLogger("transformers.tokenization_utils_base")
    monkeypatch.setattr(logger, "propagate", True)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    tokenizer = load_tokenizer(folder, vocab_size=50)
    assert type(tokenizer).__name__ == "BertTokenizerFast"
    assert "not the same type" not in caplog.text


def test_a_tokenizer_of_another_size_is_said(tmp_path: Path) -> None:
    shape = Shape(steps=2)
    source = write(tmp_path / "nlpie", base_tensors(shape), config_of(shape))
    notes = import_checkpoint(source, tmp_path / "ours")
    assert any("9 tokens" in note and "50 rows" in note for note in notes)
