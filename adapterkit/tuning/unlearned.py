"""Whether a trained model predicts the same whatever it reads, which its score alone may hide."""

from __future__ import annotations

from collections.abc import Sequence

from adapterkit.tasks.examples import Example, NerExample
from adapterkit.tasks.schemes import spans_from_tags


def same_for_all(examples: Sequence[Example], predictions: Sequence[tuple[str, ...]]) -> str | None:
    """What is predicted for every example of a split, where the right answers differ.

    Args:
        examples: Of the split.
        predictions: For each a tag a word, or the classes of the text.

    Returns:
        For example ``"no mention in any sentence"``; None where predictions differ, and where
        the right answers do not.
    """
    mentions = [example for example in examples if isinstance(example, NerExample)]
    if mentions:
        found = any(spans_from_tags(tags) for tags in predictions)
        sought = any(spans_from_tags(example.tags) for example in mentions)
        return "no mention in any sentence" if sought and not found else None
    right = {example.labels for example in examples if not isinstance(example, NerExample)}
    if len(set(predictions)) != 1 or len(right) < 2:
        return None
    classes = predictions[0]
    return f"{' and '.join(classes)} for every text" if classes else "no class for any text"
