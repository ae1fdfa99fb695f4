"""Loading a backbone's tokenizer without letting its files choose code."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import transformers

from adapterkit.backbones.safety import read_json
from adapterkit.runs.errors import UserError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "spiece.model",
)
"""Names of the files a tokenizer may consist of."""

TOKENIZER_CLASSES = {
    "BertTokenizer": "BertTokenizerFast",
    "BertTokenizerFast": "BertTokenizerFast",
    "AlbertTokenizer": "AlbertTokenizerFast",
    "AlbertTokenizerFast": "AlbertTokenizerFast",
    "PreTrainedTokenizerFast": "PreTrainedTokenizerFast",
}
"""Tokenizer classes that may be named, and the class that is then used."""


def load_tokenizer(directory: Path, vocab_size: int) -> Any:
    """The fast tokenizer whose files lie in `directory`.

    Args:
        directory: A folder with some of `TOKENIZER_FILES`.
        vocab_size: Rows of the backbone's embedding table; no token may lie beyond.

    Raises:
        UserError: There are no tokenizer files, they cannot be read, name a class that is not
            allowed, or do not fit the backbone.
    """
    class_name, options = _class_of(directory)
    try:
        # transformers is shown the allowed files only: it would read config.json as well.
        with tempfile.TemporaryDirectory() as copied:
            for name in _present(directory):
                shutil.copyfile(directory / name, Path(copied, name))
            tokenizer = getattr(transformers, class_name).from_pretrained(
                copied, local_files_only=True, trust_remote_code=False, **options
            )
    # The tokenizers library raises bare Exception for files it cannot parse.
    except Exception as error:
        raise UserError(
            "The tokenizer files cannot be read.",
            where=str(directory),
            found=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            allowed=TOKENIZER_FILES,
        ) from error
    tokenizer.name_or_path = str(directory)
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= vocab_size:
        raise UserError(
            "The tokenizer does not belong to this backbone.",
            where=str(directory),
            found=f"token ids up to {highest}",
            allowed=f"token ids below vocab_size, {vocab_size}",
        )
    return tokenizer


def _present(directory: Path) -> list[str]:
    return [name for name in TOKENIZER_FILES if (directory / name).is_file()]


def _class_of(directory: Path) -> tuple[str, dict[str, Any]]:
    """The class to use, and what the files do not say about it."""
    names = set(_present(directory))
    config: dict[str, Any] = {}
    if "tokenizer_config.json" in names:
        config = read_json(directory / "tokenizer_config.json")
    if "auto_map" in config:
        raise UserError(
            "The tokenizer wants to run code of its own.",
            where=f"{directory / 'tokenizer_config.json'}: auto_map",
            allowed=sorted(TOKENIZER_CLASSES),
            hint="remove auto_map if the tokenizer is one of these",
        )
    if not names & {"tokenizer.json", "vocab.txt", "spiece.model"}:
        raise UserError(
            "There is no tokenizer beside the backbone.",
            where=str(directory),
            allowed="tokenizer.json, vocab.txt or spiece.model",
            hint="copy the tokenizer files there, or name their folder when importing",
        )
    named = config.get("tokenizer_class")
    if named is None:
        by_file = {"vocab.txt": "BertTokenizer", "spiece.model": "AlbertTokenizer"}
        named = next((by_file[n] for n in by_file if n in names), "PreTrainedTokenizerFast")
    if not isinstance(named, str) or named not in TOKENIZER_CLASSES:
        raise UserError(
            "The tokenizer is of a class that cannot be used.",
            where=f"{directory / 'tokenizer_config.json'}: tokenizer_class",
            found=repr(named)[:100],
            allowed=sorted(TOKENIZER_CLASSES),
        )
    bare_vocabulary = "vocab.txt" in names and not names & {
        "tokenizer.json",
        "tokenizer_config.json",
    }
    options = {"do_lower_case": not _is_cased(directory / "vocab.txt")} if bare_vocabulary else {}
    return TOKENIZER_CLASSES[named], options


def _is_cased(vocabulary: Path) -> bool:
    """Whether a BERT vocabulary has words with capitals, special tokens aside."""
    words = vocabulary.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(word != word.lower() for word in words if not word.startswith("["))
