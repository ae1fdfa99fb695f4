"""The examples a task is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar


@dataclass(frozen=True, slots=True)
class Span:
    """A mention: words ``start`` to ``end`` (end exclusive) carry ``label``."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class NerExample:
    """One sentence with its named entities.

    Attributes:
        id: Unique within its split.
        document: Id of the document it stands in; its own id where documents are unknown.
        words: The words of the sentence.
        tags: One IOB2 tag a word.
    """

    id: str
    document: str
    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextExample:
    """One text with its class (a tuple of one) or its classes (any number, none included).

    Attributes:
        id: Unique within its split.
        document: Id of the document it stands in; its own id where documents are unknown.
        text: The text, as it stands in the corpus.
        labels: Names of its classes, in the order of the task's label set.
    """

    id: str
    document: str
    text: str
    labels: tuple[str, ...]


Example: TypeAlias = NerExample | TextExample
_Kind = TypeVar("_Kind", NerExample, TextExample)


def all_of(kind: type[_Kind], examples: Sequence[Example]) -> list[_Kind]:
    """Return the examples as a list of one kind.

    Raises:
        TypeError: If one of them is of the other kind.
    """
    chosen = [example for example in examples if isinstance(example, kind)]
    if len(chosen) != len(examples):
        raise TypeError(f"{len(examples) - len(chosen)} of the examples are no {kind.__name__}")
    return chosen
