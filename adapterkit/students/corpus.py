"""Text to distil on: windows of word pieces to train on, and windows held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.students.packing import Integers, Windows, cut
from adapterkit.students.token_store import TokenStore, tokenise


@dataclass(frozen=True)
class Source:
    """A file of a corpus.

    Attributes:
        name: Its name, without the folder.
        sha256: Of its bytes.
        size: Bytes.
    """

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Corpus:
    """Text as windows of word pieces.

    Attributes:
        train: Windows to train on.
        held_out: Windows of other documents, to evaluate on; none if nothing was held out.
        tokens: Word pieces of text in all documents, each counted once.
        documents: How many documents there are.
        files: Where it came from.
    """

    train: Windows
    held_out: Windows
    tokens: int
    documents: int
    files: tuple[Source, ...]


def open_corpus(
    files: Sequence[Path],
    tokenizer: Any,
    *,
    window: int = 256,
    held_out: float = 0.005,
    seed: int = 0,
    cache: Path | None = None,
    report: Callable[[int], None] | None = None,
) -> Corpus:
    """Open text files as a corpus; tokenised once, then read from the cache.

    The cache is keyed by the files' content and the tokenizer. Windows are cut when the corpus is
    opened (see `packing.cut`), so other sizes share what was tokenised.

    Args:
        files: Text or gzip files: one passage a line, a blank line between documents.
        tokenizer: A fast tokenizer with [CLS], [SEP] and [PAD].
        window: Word pieces in a full window, [CLS] and [SEP] included.
        held_out: Share of the word pieces to hold out, in whole documents; at least one document
            unless it is 0.
        seed: Of the choice of documents to hold out.
        cache: Folder of the cached corpora; the user's cache if None.
        report: Called with the word pieces so far while the text is tokenised.

    Raises:
        UserError: There is no file, one cannot be read or is not UTF-8, there is no text, or too
            few documents to hold one out.
    """
    if not files:
        raise UserError("The corpus names no file.", where="corpus.files")
    paths = [Path(file).expanduser() for file in files]
    sources = tuple(_source(path) for path in paths)
    digests = [source.sha256 for source in sources]
    store = tokenise(paths, digests, tokenizer, cache or _user_cache(), report)
    if held_out and len(store.ends) < 2:
        raise UserError(
            "The corpus is one document, of which nothing can be held out.",
            where=", ".join(map(str, paths)),
            allowed="two documents or more, with a blank line between them",
            hint="part the documents by blank lines, or set corpus.held_out to 0",
        )
    begins = np.concatenate([[0], store.ends[:-1]])
    chosen = _held_out(store, begins, held_out, seed)
    train, evaluation = (
        _windows(store, begins[rows], store.ends[rows], window, tokenizer)
        for rows in (~chosen, chosen)
    )
    return Corpus(train, evaluation, len(store.tokens), len(store.ends), sources)


def _source(path: Path) -> Source:
    try:
        return Source(path.name, sha256_file(path), path.stat().st_size)
    except OSError as error:
        raise UserError(
            "The corpus cannot be read.",
            where=str(path),
            found=error.strerror or str(error),
            allowed="a text file, or gzip of one",
        ) from error


def _user_cache() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("adapterkit", appauthor=False)) / "corpora"


def _held_out(
    store: TokenStore, begins: Integers, share: float, seed: int
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which documents are held out: the first of a shuffled order that make up `share`."""
    order = np.random.default_rng(seed).permutation(len(begins))
    sizes = (store.ends - begins)[order]
    before = np.cumsum(sizes) - sizes
    chosen = np.zeros(len(begins), dtype=bool)
    chosen[order] = before < share * len(store.tokens)
    chosen[order[-1]] = False
    return chosen


def _windows(
    store: TokenStore, begins: Integers, ends: Integers, window: int, tokenizer: Any
) -> Windows:
    special = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id)
    return Windows(store.tokens, *cut(begins, ends, window), window, *special)
