"""What a teacher makes of the windows of a training split, computed once, and learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from adapterkit.tasks.encoding import IGNORED


@dataclass(frozen=True)
class Teaching:
    """A teacher's logits, and how much they count.

    Attributes:
        logits: Of each window: NER (scored positions, tags), otherwise (classes,).
        weight: Of the teacher's term beside the labels' cross-entropy.
        temperature: Divides the logits of both.
    """

    logits: Sequence[np.ndarray]
    weight: float = 1.0
    temperature: float = 1.0

    def padded(self, indices: Sequence[int], scored: int) -> torch.Tensor:
        """The logits of some windows, zero where a window has fewer scored positions.

        Returns:
            NER: (windows, scored, tags); otherwise (windows, classes).
        """
        rows = [self.logits[index] for index in indices]
        if rows[0].ndim == 1:
            return torch.from_numpy(np.stack(rows))
        padded = np.zeros((len(rows), scored, rows[0].shape[-1]), dtype=np.float32)
        for at, row in enumerate(rows):
            padded[at, : len(row)] = row
        return torch.from_numpy(padded)


def teaching_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    temperature: float,
    multilabel: bool,
) -> torch.Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over what is scored.

    T^2 keeps its gradient from shrinking with T (arXiv 1503.02531, section 2). At T = 1 it is the
    logit term of KroneckerBERT's second stage (arXiv 2109.06243).

    Args:
        student: Logits: NER (windows, scored, tags), otherwise (windows, classes).
        teacher: Logits of the same shape.
        labels: NER (windows, scored), `IGNORED` at padding, which does not count; classification
            (windows,); several labels (windows, classes).
        temperature: T.
        multilabel: Whether each class is a distribution of its own, over yes and no.
    """
    ours, theirs = student.float() / temperature, teacher.float() / temperature
    if multilabel:
        # A logit x says yes with softmax((x, 0)); the mean over classes is as that of the labels.
        ours, theirs = (torch.stack((x, torch.zeros_like(x)), dim=-1) for x in (ours, theirs))
    divergence = functional.kl_div(
        ours.log_softmax(-1), theirs.log_softmax(-1), reduction="none", log_target=True
    ).sum(-1)
    scored = divergence if multilabel else divergence[labels != IGNORED]
    return temperature**2 * scored.mean()
