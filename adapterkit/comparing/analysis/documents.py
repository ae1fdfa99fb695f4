"""The documents with most errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adapterkit.comparing.analysis.spans import matches_of
from adapterkit.comparing.records.record import Prediction


@dataclass(frozen=True)
class DocumentErrors:
    """What is wrong in a document.

    Attributes:
        document: Its id.
        errors: Wrong matches in it; see `spans.match_mentions`.
        correct: Right ones.
        sentences: All its sentences that were scored.
    """

    document: str
    errors: int
    correct: int
    sentences: tuple[Prediction, ...]

    @property
    def wrong_sentences(self) -> tuple[Prediction, ...]:
        """The sentences with errors, in the order of the document."""
        return tuple(each for each in self.sentences if each.gold != each.predicted)


def worst_documents(predictions: Iterable[Prediction], count: int) -> tuple[DocumentErrors, ...]:
    """The documents with most errors; of equals those with fewer correct mentions first.

    Args:
        predictions: Sentences of a split as one run predicted them.
        count: How many documents at most. Those without errors are never among them.
    """
    by_document: dict[str, list[Prediction]] = {}
    for each in predictions:
        by_document.setdefault(each.document, []).append(each)
    found = [_judge(document, sentences) for document, sentences in by_document.items()]
    wrong = [each for each in found if each.errors]
    return tuple(sorted(wrong, key=lambda each: (-each.errors, each.correct, each.document)))[
        :count
    ]


def _judge(document: str, sentences: list[Prediction]) -> DocumentErrors:
    kinds = [match.kind for each in sentences for match in matches_of(each)]
    correct = kinds.count("correct")
    return DocumentErrors(document, len(kinds) - correct, correct, tuple(sentences))
