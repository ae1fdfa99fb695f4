"""Reading CoNLL files: a word and its tag a line, a blank line after each sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapterkit.runs.errors import UserError
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.examples import NerExample
from adapterkit.tasks.readers.sentences import RawSentence, to_examples
from adapterkit.tasks.readers.text import read_lines

_DOCUMENT_MARK = "-DOCSTART-"


def read_conll(
    path: Path, task: TaskConfig, documents: Path | None = None
) -> tuple[NerExample, ...]:
    """Read one split of a NER task.

    Columns are separated by tabs where a line has one (spaces around them are dropped), else by
    spaces. ``-DOCSTART-`` lines begin
    a new document. Tags may be in any scheme of `schemes`; they are returned in IOB2.

    Args:
        path: The file.
        task: Its task: columns, labels and scheme.
        documents: File with the document id of each sentence, one a line.

    Raises:
        UserError: Naming file and line, if the file cannot be read as this task's.
    """
    sentences = read_sentences(path, task)
    if documents:
        ids = _read_document_ids(documents, len(sentences), path)
        sentences = [
            RawSentence(s.words, s.tags, s.line, s.one_line, s.id, document)
            for s, document in zip(sentences, ids, strict=True)
        ]
    return to_examples(sentences, path, task)


def read_sentences(path: Path, task: TaskConfig) -> list[RawSentence]:
    """Return the sentences of a CoNLL file as they stand there."""
    sentences: list[RawSentence] = []
    cells: list[Sequence[str]] = []
    width, document, documents_seen = 0, "", 0
    lines = read_lines(path)
    for number, line in enumerate([*lines, ""], start=1):
        text = line.rstrip(" \t")
        marks_document = text.startswith(_DOCUMENT_MARK)
        if text and not marks_document:
            row = _cells(text)
            if not cells and not sentences:
                width = _first_width(row, path, number, task)
            if len(row) != width:
                raise _ragged(path, number, row, width)
            cells.append(row)
            continue
        if cells:
            name = f"{path.stem}-{len(sentences) + 1}"
            sentences.append(_sentence(cells, number, name, document, path, task))
            cells = []
        if marks_document:
            documents_seen += 1
            document = f"{path.stem}-document-{documents_seen}"
    if not sentences:
        raise UserError(
            "the file has no sentences",
            where=f"{path}, lines 1 to {len(lines)}",
            allowed="a word and its tag a line",
        )
    return sentences


def _cells(line: str) -> list[str]:
    if "\t" in line:
        return [cell.strip(" ") for cell in line.split("\t")]
    return [cell for cell in line.split(" ") if cell]


def _sentence(
    cells: list[Sequence[str]],
    end: int,
    name: str,
    document: str,
    path: Path,
    task: TaskConfig,
) -> RawSentence:
    start = end - len(cells)
    words = tuple(row[task.columns.token] for row in cells)
    if not all(words):
        raise UserError(
            "the word is missing",
            where=f"{path}, line {start + words.index('')}",
            allowed=f"a word in column {task.columns.token}, or a blank line to end the sentence",
        )
    tags = tuple(row[task.columns.tag] for row in cells)
    return RawSentence(words, tags, start, False, name, document)


def _first_width(row: Sequence[str], path: Path, number: int, task: TaskConfig) -> int:
    """Return the number of columns, after checking that those the task names exist."""
    token, tag = task.columns.token, task.columns.tag
    width = len(row)
    inside = all(-width <= column < width for column in (token, tag))
    if not inside or token % width == tag % width:
        raise UserError(
            "a line needs a word and a tag",
            where=f"{path}, line {number}",
            found=f"{width} column(s): {' | '.join(row)}",
            allowed=f"word in column {token}, tag in column {tag} (columns of the task's YAML)",
        )
    return width


def _ragged(path: Path, number: int, row: Sequence[str], width: int) -> UserError:
    return UserError(
        "the line has another number of columns than the lines before it",
        where=f"{path}, line {number}",
        found=f"{len(row)} column(s): {' | '.join(row)}",
        allowed=f"{width} columns",
    )


def _read_document_ids(path: Path, sentences: int, data: Path) -> list[str]:
    ids = [line.strip() for line in read_lines(path)]
    while ids and not ids[-1]:
        ids.pop()
    if "" in ids:
        raise UserError(
            "a document id is missing",
            where=f"{path}, line {ids.index('') + 1}",
            allowed="one id a sentence, in the same order, without blank lines",
        )
    if len(ids) != sentences:
        raise UserError(
            "the document ids do not match the sentences",
            where=f"{path}, line {min(len(ids), sentences) + 1}",
            found=f"{len(ids)} ids for the {sentences} sentences of {data.name}",
            allowed="one id a sentence, in the same order",
        )
    return ids
