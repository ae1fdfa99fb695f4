"""Predicting with several adapters at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapterkit.runs.progress import Progress, Silence
from adapterkit.serving.passes import Route, plan_routes
from adapterkit.serving.predictions import Prediction
from adapterkit.serving.reading import Reader
from adapterkit.sharing.loading import load_learned
from adapterkit.tasks.config import TaskConfig
from adapterkit.tuning.devices import move

# Adapters are found in each other's models by their names, which therefore have to be the same.
_NAME = "task"


class Predictors:
    """Several adapters with their heads, ready to read plain text together.

    Adapters of one backbone share the recursion steps below the lowest one in which any of them
    learned. Above, those with the same plan are computed as one batch. Predictions are those of
    each adapter alone, but for how floating-point sums are ordered.

    Args:
        paths: Where the adapters were loaded from.
        readers: How each of them reads texts.
        routes: The passes through the backbone.
    """

    def __init__(
        self, paths: Sequence[Path], readers: Sequence[Reader], routes: Sequence[Route]
    ) -> None:
        self.paths = tuple(paths)
        self._readers, self._routes = tuple(readers), tuple(routes)

    @property
    def tasks(self) -> tuple[TaskConfig, ...]:
        """The task that each adapter was trained for."""
        return tuple(reader.task for reader in self._readers)

    def predict(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> list[list[Prediction]]:
        """Let every adapter read every text.

        Args:
            texts: The texts; see `Predictor.predict`.
            progress: Told how many windows are done.

        Returns:
            For each adapter what `Predictor.predict` returns.

        Raises:
            TypeError: If ``texts`` is one string, or holds something else than strings.
            UserError: If the model's outputs are not finite.
        """
        listener = progress or Silence()
        predictions: list[list[Prediction]] = [[] for _ in self.paths]
        for route in self._routes:
            # Members of a route read texts alike, whatever their labels.
            reading = self._readers[route.members[0]].read(texts)
            self._begin(listener, route, len(reading.split.encoded.windows))
            found = route.predict(reading.split, listener)
            for number, logits in zip(route.members, found, strict=True):
                mine = reading.for_task(self._readers[number].task)
                predictions[number] = mine.predictions(logits)
        return predictions

    def predict_each(
        self, texts: Sequence[str], adapters: Sequence[int], progress: Progress | None = None
    ) -> list[Prediction]:
        """Let every text be read by the adapter of its own, texts of several in one batch.

        Args:
            texts: The texts; see `Predictor.predict`.
            adapters: For each text the number of its adapter, in the order of `paths`.
            progress: Told how many windows are done.

        Returns:
            One prediction a text, in the same order.

        Raises:
            ValueError: There is not one adapter a text, or none of that number.
            TypeError: If ``texts`` is one string, or holds something else than strings.
            UserError: If the model's outputs are not finite.
        """
        listener = progress or Silence()
        self._check_numbers(texts, adapters)
        predictions: list[Prediction] = [Prediction("")] * len(texts)
        for route in self._routes:
            rows = [
                [row for row, number in enumerate(adapters) if number == member]
                for member in route.members
            ]
            readings = [
                self._readers[member].read([texts[row] for row in mine])
                for member, mine in zip(route.members, rows, strict=True)
            ]
            windows = sum(len(reading.split.encoded.windows) for reading in readings)
            self._begin(listener, route, windows)
            found = route.predict_each(readings, listener)
            for reading, logits, mine in zip(readings, found, rows, strict=True):
                for row, prediction in zip(mine, reading.predictions(logits), strict=True):
                    predictions[row] = prediction
        return predictions

    def _check_numbers(self, texts: Sequence[str], adapters: Sequence[int]) -> None:
        if len(adapters) != len(texts):
            raise ValueError(f"{len(texts)} texts need {len(texts)} adapters, not {len(adapters)}")
        for number in adapters:
            if not 0 <= number < len(self.paths):
                raise ValueError(f"there is no adapter {number}: 0 to {len(self.paths) - 1}")

    def _begin(self, progress: Progress, route: Route, windows: int) -> None:
        if not windows:
            return
        names = dict.fromkeys(self._readers[number].task.name for number in route.members)
        progress.begin(f"predicting {', '.join(names)}", windows)


def load_adapters(paths: Sequence[str | Path], *, backbone: str | Path | None = None) -> Predictors:
    """Load what several runs learned, to predict with all of them at once.

    Args:
        paths: Run directories or packages; see `load_adapter`.
        backbone: Where the packages' backbone is, if not where they say.

    Raises:
        ValueError: There is none.
        UserError: If a run is unfinished or damaged, or its backbone is gone or has changed.
    """
    if not paths:
        raise ValueError("load_adapters needs a run directory, or several")
    runs = [load_learned(path, name=_NAME, backbone=backbone) for path in paths]
    for run in runs:
        move(run.backbone.model)
    readers = [Reader.of(run) for run in runs]
    return Predictors([Path(path) for path in paths], readers, plan_routes(runs))
