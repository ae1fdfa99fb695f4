"""A corpus as word pieces: tokenised once, kept in a cache, and mapped into memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from adapterkit.runs.atomic import atomic_directory, disk_errors, remove_leftovers, write_json
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_text
from adapterkit.students.text import read_documents

# Raise when the files or the way text becomes pieces change, so that old caches are left alone.
_FORMAT = 1
_TOKENS, _ENDS, _META = "tokens.bin", "ends.npy", "corpus.json"
_PASSAGES = 1000


@dataclass(frozen=True)
class TokenStore:
    """The word pieces of a corpus, one document after another.

    Attributes:
        tokens: Shape (pieces,), mapped into memory, read only; no special tokens among them.
        ends: Shape (documents,): where in `tokens` each document ends.
    """

    tokens: np.memmap[Any, Any]
    ends: np.ndarray[Any, np.dtype[np.int64]]


def tokenise(
    files: Sequence[Path],
    digests: Sequence[str],
    tokenizer: Any,
    cache: Path,
    report: Callable[[int], None] | None = None,
) -> TokenStore:
    """The word pieces of text files, from the cache if they are there.

    Several processes may ask at once: one tokenises, the others wait for it.

    Args:
        files: Text or gzip files, see `text.read_documents`.
        digests: SHA-256 of each file.
        tokenizer: A fast tokenizer.
        cache: The folder of all cached corpora.
        report: Called with the pieces so far, every thousand passages.

    Raises:
        UserError: A file cannot be read, is not UTF-8, or no file holds a word.
    """
    identity = {
        "format": _FORMAT,
        "files": list(digests),
        "tokenizer": tokenizer_fingerprint(tokenizer),
    }
    place = cache / sha256_text(json.dumps(identity, sort_keys=True))[:32]
    folder = place / "pieces"
    with disk_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / "lock"):
            remove_leftovers(place)
            if not folder.is_dir():
                with atomic_directory(folder) as fresh:
                    _write(fresh, files, tokenizer, identity, report)
    return _open(folder)


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """SHA-256 of what a fast tokenizer does to text, whatever padding was asked of it last."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["padding"] = state["truncation"] = None
    return sha256_text(json.dumps(state, sort_keys=True))


def _open(folder: Path) -> TokenStore:
    meta = json.loads((folder / _META).read_text(encoding="utf-8"))
    dtype = np.dtype(meta["dtype"])
    found = (folder / _TOKENS).stat().st_size
    if found != meta["pieces"] * dtype.itemsize:
        raise UserError(
            "The tokenised corpus in the cache is damaged.",
            where=str(folder / _TOKENS),
            found=f"{found} bytes",
            allowed=f"{meta['pieces'] * dtype.itemsize} bytes",
            hint=f"remove {folder}; it is made again from the corpus",
        )
    tokens = np.memmap(folder / _TOKENS, dtype=dtype, mode="r")
    return TokenStore(tokens, np.load(folder / _ENDS))


def _write(
    folder: Path,
    files: Sequence[Path],
    tokenizer: Any,
    identity: dict[str, Any],
    report: Callable[[int], None] | None,
) -> None:
    dtype = np.dtype(np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32)
    lengths: dict[int, int] = {}
    pieces = 0
    with open(folder / _TOKENS, "wb") as file:
        for documents, passages in _encoded(files, tokenizer):
            for document, ids in zip(documents, passages, strict=True):
                np.asarray(ids, dtype=dtype).tofile(file)
                lengths[document] = lengths.get(document, 0) + len(ids)
                pieces += len(ids)
            if report is not None:
                report(pieces)
    if not pieces:
        raise UserError(
            "The corpus holds no text.",
            where=", ".join(map(str, files)),
            allowed="one passage a line, a blank line between documents",
        )
    ends = np.cumsum([length for length in lengths.values() if length], dtype=np.int64)
    np.save(folder / _ENDS, ends)
    write_json(
        folder / _META,
        {**identity, "dtype": dtype.name, "pieces": pieces, "documents": len(ends)},
    )


def _encoded(files: Sequence[Path], tokenizer: Any) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Documents and word pieces of the passages, a thousand passages at a time."""
    from datasets import IterableDataset

    def rows(paths: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        for document, passage in read_documents([Path(path) for path in paths]):
            yield {"document": document, "passage": passage}

    def encode(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        # "[MASK]" in somebody's text is text, not a special token.
        encoded = tokenizer(
            batch["passage"],
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return {"ids": encoded["input_ids"]}

    # A list of arguments would be taken for shards; a tuple is passed on as it is.
    paths = tuple(str(file) for file in files)
    stream = IterableDataset.from_generator(rows, gen_kwargs={"paths": paths})
    stream = stream.map(encode, batched=True, batch_size=_PASSAGES, remove_columns="passage")
    for batch in stream.iter(batch_size=_PASSAGES):
        yield batch["document"], batch["ids"]
