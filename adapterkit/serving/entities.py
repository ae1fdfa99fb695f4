"""From texts to sentences the model reads, and from its logits back to entities in the texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterkit.serving.predictions import Entity
from adapterkit.serving.span_scores import span_probabilities
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.decoding import decode_ner
from adapterkit.tasks.encoding import Encoded
from adapterkit.tasks.examples import NerExample
from adapterkit.tasks.schemes import spans_from_tags
from adapterkit.tasks.segmentation import Sentence, segment

Logits = NDArray[np.floating[Any]]

# Python strings may hold lone surrogates (text decoded with surrogateescape); tokenizers may not.
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Segmented:
    """Texts cut in sentences.

    Attributes:
        texts: The texts.
        sentences: All sentences, text by text; offsets are those of the sentence's own text.
        owners: For each sentence the index of its text.
    """

    texts: tuple[str, ...]
    sentences: tuple[Sentence, ...]
    owners: tuple[int, ...]

    def examples(self) -> list[NerExample]:
        """The sentences as untagged examples."""
        return [
            NerExample(
                id=str(number),
                document=str(owner),
                words=tuple(readable(word.text) for word in sentence.words),
                tags=("O",) * len(sentence.words),
            )
            for number, (sentence, owner) in enumerate(
                zip(self.sentences, self.owners, strict=True)
            )
        ]


def readable(text: str) -> str:
    """Return a text of the same length that every tokenizer accepts."""
    return _SURROGATE.sub("\ufffd", text)


def segment_texts(texts: Sequence[str]) -> Segmented:
    """Cut texts in sentences and words."""
    cut = [(number, sentence) for number, text in enumerate(texts) for sentence in segment(text)]
    return Segmented(
        tuple(texts),
        tuple(sentence for _, sentence in cut),
        tuple(number for number, _ in cut),
    )


def find_entities(
    task: TaskConfig, segmented: Segmented, encoded: Encoded, logits: Sequence[Logits]
) -> list[tuple[Entity, ...]]:
    """Return the entities of every text.

    Args:
        task: The NER task of the head that gave the logits.
        segmented: The texts.
        encoded: Its examples as they were encoded, with protocol ``word``.
        logits: For each window an array (its scored positions, tags).

    Raises:
        UserError: If the logits are not finite.
    """
    found: list[list[Entity]] = [[] for _ in segmented.texts]
    tags = decode_ner(encoded, segmented.examples(), logits, task)
    by_word = _by_word(encoded, logits, len(segmented.sentences))
    for number, sentence in enumerate(segmented.sentences):
        spans = spans_from_tags(tags[number])
        if not spans:
            continue
        owner = segmented.owners[number]
        text = segmented.texts[owner]
        scores = span_probabilities(np.concatenate(by_word[number]), task.tag_names, spans)
        for span, score in zip(spans, scores, strict=True):
            start, end = sentence.words[span.start].start, sentence.words[span.end - 1].end
            found[owner].append(Entity(start, end, span.label, text[start:end], score))
    return [tuple(entities) for entities in found]


def _by_word(encoded: Encoded, logits: Sequence[Logits], sentences: int) -> list[list[Logits]]:
    """The logits at the scored words of each sentence, window by window in reading order."""
    rows: list[list[Logits]] = [[] for _ in range(sentences)]
    for window, values in zip(encoded.windows, logits, strict=True):
        rows[window.example].append(values)
    return rows
