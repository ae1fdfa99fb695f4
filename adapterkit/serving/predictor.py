"""Predicting plain text with what a run learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from adapterkit.backbones.fusing import fuse_updates
from adapterkit.runs.progress import Progress, Silence
from adapterkit.serving.predictions import Prediction
from adapterkit.serving.reading import Reader
from adapterkit.sharing.loading import load_learned
from adapterkit.tasks.config import TaskConfig
from adapterkit.tuning.devices import move
from adapterkit.tuning.evaluation import predict_logits
from adapterkit.tuning.reloading import LoadedAdapter


class Predictor:
    """A backbone with one adapter and its head, ready to read plain text.

    Args:
        path: Where the adapter was loaded from.
        run: The loaded run.
    """

    def __init__(self, path: Path, run: LoadedAdapter) -> None:
        self.path = path
        self._run = run
        self._reader = Reader.of(run)

    @property
    def task(self) -> TaskConfig:
        """The task the adapter was trained for."""
        return self._run.task

    def predict(self, texts: Sequence[str], progress: Progress | None = None) -> list[Prediction]:
        """Find entities in texts, or classify them.

        NER texts are split into sentences and words and may be of any length. Classification
        reads each text as a whole, up to the length the run was trained with.

        Args:
            texts: The texts; a blank one gets neither entities nor labels.
            progress: Told how many windows are done.

        Returns:
            One prediction a text, in the same order. Offsets count Unicode code points of the
            text as given: ``text[entity.start:entity.end] == entity.text``.

        Raises:
            TypeError: If ``texts`` is one string, or holds something else than strings.
            UserError: If the model's outputs are not finite.
        """
        listener = progress or Silence()
        reading = self._reader.read(texts)
        windows = reading.split.encoded.windows
        if not windows:
            return reading.predictions([])
        listener.begin(f"predicting {self.task.name}", len(windows))
        model = self._run.applied.model
        return reading.predictions(predict_logits(model, reading.split, listener))


def load_adapter(source: str | Path, *, backbone: str | Path | None = None) -> Predictor:
    """Load what a run learned, on its backbone.

    Args:
        source: A run directory, a package's folder or archive, or the name of a package that was
            pulled, such as ``bc5cdr@upper-half``.
        backbone: Where a package's backbone is, if not where the package says.

    Raises:
        UserError: If it is unfinished or damaged, or its backbone is gone or has changed.
    """
    run = load_learned(source, backbone=backbone)
    move(run.backbone.model)
    # Its weights change no more, and a text may come alone.
    with torch.no_grad():
        fuse_updates(run.backbone.model)
    return Predictor(Path(source), run)
