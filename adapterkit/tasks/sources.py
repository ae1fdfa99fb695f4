"""Loading a task's data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapterkit.runs.hashing import sha256_file
from adapterkit.tasks.config import SplitFiles, TaskConfig
from adapterkit.tasks.examples import Example
from adapterkit.tasks.locating import SPLITS, DataSource, Located, locate
from adapterkit.tasks.readers.conll import read_conll
from adapterkit.tasks.readers.delimited import read_delimited
from adapterkit.tasks.readers.hub import read_hub_file
from adapterkit.tasks.readers.jsonl import read_jsonl

SAMPLE_NOTE = (
    "the bundled sample: original sentences written for adapterkit, not the corpus; "
    "scores on it say nothing about the corpus"
)


@dataclass(frozen=True)
class TaskData:
    """The data of a task.

    Attributes:
        task: The task.
        source: Where the data were found.
        splits: The examples of each split.
        sha256: Checksum of each split's data file.
        notes: What a reader of results must know about these data.
    """

    task: TaskConfig
    source: DataSource
    splits: Mapping[str, tuple[Example, ...]]
    sha256: Mapping[str, str]
    notes: tuple[str, ...] = ()


def load_data(
    task: TaskConfig, data: str | Path = "auto", splits: Sequence[str] = SPLITS
) -> TaskData:
    """Load splits of a task.

    Args:
        task: The task.
        data: ``sample`` (bundled), ``hub``, a folder, or ``auto``: the folder the task's own YAML
            names, else ``$ADAPTERKIT_DATA/<corpus>``, the user's cache, the hub where the network
            may be used and answers, and last the bundled sample.
        splits: Which of train, dev and test.

    Raises:
        UserError: If the data are missing or cannot be read; the message says what to do.
    """
    located = locate(task, data, splits)
    sums: dict[str, str] = {split: sha256_file(path) for split, path in located.files.items()}
    folder = located.folder
    examples: dict[str, tuple[Example, ...]] = {
        split: _read_split(folder, task.files[split], task) if folder else read_hub_file(path, task)
        for split, path in located.files.items()
    }
    notes = tuple(_notes(task, located, folder) if folder else _hub_notes(task))
    return TaskData(task, located.source, examples, sums, notes)


def _hub_notes(task: TaskConfig) -> list[str]:
    return [task.hub.note] if task.hub and task.hub.note else []


def _notes(task: TaskConfig, located: Located, folder: Path) -> Iterator[str]:
    """What must be known of data in a folder."""
    if located.source.is_sample:
        yield SAMPLE_NOTE
    for split in located.files:
        documents = task.files[split].documents
        if documents and not (folder / documents).is_file():
            yield f"{split}: no {documents}, so every sentence is its own document"
    if located.refused:
        yield f"the Hugging Face Hub was tried first: {located.refused}"


def _read_split(folder: Path, files: SplitFiles, task: TaskConfig) -> tuple[Example, ...]:
    path = folder / files.data
    if path.suffix.lower() in (".jsonl", ".json", ".ndjson"):
        return read_jsonl(path, task)
    if task.kind != "ner":
        return read_delimited(path, task)
    documents = folder / files.documents if files.documents else None
    return read_conll(path, task, documents if documents and documents.is_file() else None)
