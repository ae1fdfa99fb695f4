"""Loading a backbone's tokenizer without letting its files choose code."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import transformers

from adapterkit.backbones.folder_layout import TOKENIZER_CONFIG_FILE, TOKENIZER_FILES
from adapterkit.backbones.safety import read_json
from adapterkit.runs.atomic import write_json
from adapterkit.runs.disk import disk_errors
from adapterkit.runs.errors import UserError

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
    # transformers is shown the allowed files only: it would read config.json as well.
    with tempfile.TemporaryDirectory() as copied:
        _copy_allowed(directory, Path(copied), class_name)
        try:
            tokenizer = getattr(transformers, class_name).from_pretrained(
                copied, local_files_only=True, trust_remote_code=False, **options
            )
        # The tokenizers library raises bare Exception for files it cannot parse.
        except Exception as error:
            raise _unreadable(directory, error) from error
    tokenizer.name_or_path = str(directory)
    _check_special_tokens(tokenizer, directory)
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= vocab_size:
        raise UserError(
            "The tokenizer does not belong to this backbone.",
            where=str(directory),
            found=f"token ids up to {highest}",
            allowed=f"token ids below vocab_size, {vocab_size}",
        )
    return tokenizer


def _copy_allowed(directory: Path, target: Path, class_name: str) -> None:
    try:
        contents = {name: (directory / name).read_bytes() for name in _present(directory)}
        config = _tokenizer_config(directory)
    except (OSError, ValueError) as error:
        raise _unreadable(directory, error) from error
    # Where no file names the class transformers guesses it from the letters of the path.
    config["tokenizer_class"] = config.get("tokenizer_class") or class_name
    with disk_errors(target):
        for name, content in contents.items():
            (target / name).write_bytes(content)
        write_json(target / TOKENIZER_CONFIG_FILE, config)


def _unreadable(directory: Path, error: Exception) -> UserError:
    return UserError(
        "The tokenizer files cannot be read.",
        where=str(directory),
        found=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
        allowed=TOKENIZER_FILES,
    )


def _present(directory: Path) -> list[str]:
    return [name for name in TOKENIZER_FILES if (directory / name).is_file()]


def _tokenizer_config(directory: Path) -> dict[str, Any]:
    path = directory / TOKENIZER_CONFIG_FILE
    return read_json(path) if path.is_file() else {}


def _check_special_tokens(tokenizer: Any, directory: Path) -> None:
    # Those that a bare vocabulary lacks would be appended, where the model has other words.
    if (directory / "tokenizer.json").is_file() or not (directory / "vocab.txt").is_file():
        return
    words = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
    needed = (tokenizer.unk_token, tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token)
    lacking = [token for token in needed if token not in words]
    if lacking:
        raise UserError(
            "The vocabulary lacks special tokens.",
            where=str(directory / "vocab.txt"),
            found=f"no {', '.join(map(str, lacking))} among {len(words)} words",
            hint="the file may be damaged or of another kind; copy the checkpoint's own",
        )


def _class_of(directory: Path) -> tuple[str, dict[str, Any]]:
    """The class to use, and what the files do not say about it."""
    names = set(_present(directory))
    config = _tokenizer_config(directory)
    if "auto_map" in config:
        raise UserError(
            "The tokenizer wants to run code of its own.",
            where=f"{directory / TOKENIZER_CONFIG_FILE}: auto_map",
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
            where=f"{directory / TOKENIZER_CONFIG_FILE}: tokenizer_class",
            found=repr(named)[:100],
            allowed=sorted(TOKENIZER_CLASSES),
        )
    bare_vocabulary = "vocab.txt" in names and not names & {
        "tokenizer.json",
        TOKENIZER_CONFIG_FILE,
    }
    options = {"do_lower_case": not _is_cased(directory / "vocab.txt")} if bare_vocabulary else {}
    return TOKENIZER_CLASSES[named], options


def _is_cased(vocabulary: Path) -> bool:
    """Whether a BERT vocabulary has words with capitals, special tokens aside."""
    words = vocabulary.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(word != word.lower() for word in words if not word.startswith("["))
