"""What learns in a distillation: the student, and what it needs only while it learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.students.lm_head import student_head
from adapterkit.students.objective import (
    Heads,
    Weights,
    losses,
    projection_between,
    read,
    total,
)
from adapterkit.students.packing import Batch
from adapterkit.students.teacher import Teacher


class Learner(nn.Module):
    """A student with its masked-LM head and its projection, as far as the objective needs them.

    Their initial values come from torch's generator.

    Args:
        student: The student; its dropout is turned off, for the teacher's states are exact.
        teacher: The teacher; not a part of the learner.
        weights: Of the terms.
        layers: The teacher's layer, from one, that each step learns from.
    """

    def __init__(
        self,
        student: RecursiveAdapterModel,
        teacher: Teacher,
        weights: Weights,
        layers: Sequence[int],
    ) -> None:
        super().__init__()
        self.student = student
        self.head = student_head(student) if weights.masks else None
        self.projection = projection_between(student.config.hidden_size, teacher.hidden_size)
        self.weights, self.layers = weights, tuple(layers)
        # In a list, which a module does not look into: the teacher does not learn.
        self._teacher_head = [teacher.head]
        self.eval()
        self.requires_grad_(True)

    def forward(self, batch: Batch, targets: Any) -> dict[str, torch.Tensor]:
        """The unweighted terms on a batch, and ``loss``, their weighted sum.

        Args:
            batch: ``input_ids``, ``attention_mask`` and, where text is masked, ``labels``, each
                (batch, tokens).
            targets: The teacher's output on the same ids, see `objective.read`.
        """
        heads = None if self.head is None else Heads(self.head, self._teacher_head[0])
        output = read(self.student, batch, self.weights)
        terms = losses(
            output,
            targets,
            batch,
            self.weights,
            self.layers,
            heads=heads,
            projection=self.projection,
        )
        return {"loss": total(terms, self.weights), **terms}
