"""Predictions of several adapters for the same texts, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterkit.serving.predictions import Prediction
from adapterkit.tasks.config import Kind

if TYPE_CHECKING:
    from adapterkit.runs.progress import Progress
    from adapterkit.serving.together import Predictors


@dataclass(frozen=True, slots=True)
class Layer:
    """What one adapter says of some texts: one layer of annotation.

    Attributes:
        name: What the layer is called; unique among the layers of the same texts.
        adapter: Where the adapter was loaded from.
        task: Name of its task.
        kind: Kind of its task.
        labels: Entity types or classes it knows.
        predictions: One a text.
    """

    name: str
    adapter: str
    task: str
    kind: Kind
    labels: tuple[str, ...]
    predictions: tuple[Prediction, ...]


def predict_layers(
    predictors: Predictors, texts: Sequence[str], progress: Progress | None = None
) -> list[Layer]:
    """Let each adapter read the texts.

    Raises:
        UserError: If a model's outputs are not finite.
    """
    paths = [str(path) for path in predictors.paths]
    names = layer_names([(t.name, path) for t, path in zip(predictors.tasks, paths, strict=True)])
    return [
        Layer(
            name=name,
            adapter=path,
            task=task.name,
            kind=task.kind,
            labels=task.labels,
            predictions=tuple(predictions),
        )
        for name, path, task, predictions in zip(
            names, paths, predictors.tasks, predictors.predict(texts, progress), strict=True
        )
    ]


def layer_names(adapters: Sequence[tuple[str, str]]) -> list[str]:
    """Return a distinct, speaking name for each adapter.

    Args:
        adapters: Task and path of each adapter.

    Returns:
        The task's name where no other adapter has that task, otherwise task and path, numbered
        where the same adapter is given twice.
    """
    tasks = Counter(task for task, _ in adapters)
    seen: Counter[tuple[str, str]] = Counter()
    names = []
    for task, path in adapters:
        seen[task, path] += 1
        again = f" #{seen[task, path]}" if seen[task, path] > 1 else ""
        names.append(task if tasks[task] == 1 else f"{task} ({path}{again})")
    return names


def layer_texts(layers: Sequence[Layer]) -> list[str]:
    """Return the texts that all layers speak of.

    Raises:
        ValueError: If there is no layer, or they speak of different texts.
    """
    if not layers:
        raise ValueError("no layer to show")
    texts = [[prediction.text for prediction in layer.predictions] for layer in layers]
    if any(other != texts[0] for other in texts[1:]):
        raise ValueError("the layers are of different texts")
    return texts[0]
