"""Hidden-state distillation of a recursive student."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch.nn.functional import cosine_similarity
from transformers import BertModel

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.students.corpus import Batch


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to distil.

    Attributes:
        tokens: Word pieces to see, padding not counted.
        learning_rate: Peak of AdamW's rate; warm-up, then half a cosine down to a tenth.
        warmup: Share of `tokens` spent warming up.
        weight_decay: AdamW's, on matrices only.
    """

    tokens: int
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.01

    def rate(self, seen: int) -> float:
        """The learning rate after `seen` word pieces."""
        share = min(1.0, seen / self.tokens)
        if share < self.warmup:
            return self.learning_rate * max(share, 1e-3) / self.warmup
        fall = (share - self.warmup) / (1 - self.warmup)
        return self.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * fall)))


@dataclass
class Progress:
    """What a distillation has done so far.

    Attributes:
        tokens: Word pieces seen.
        seconds: Time spent.
        curve: ``(tokens, distances)`` at every report; a distance is the mean cosine distance to
            the teacher at the embedding output and behind every step.
    """

    tokens: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, list[float]]] = field(default_factory=list)


def cosine_distances(
    student: RecursiveAdapterModel, teacher: BertModel, batch: Batch
) -> torch.Tensor:
    """Mean cosine distance between student and teacher states, over tokens that are no padding.

    MiniALBERT's hidden term (arXiv 2210.06425, section 3): recursion step i learns from teacher
    layer i when both are equally deep.

    Returns:
        Shape (1 + steps,): at the embedding output, then behind each step.
    """
    device = student.device
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        with torch.no_grad():
            targets = teacher(**batch, output_hidden_states=True).hidden_states
        states = student(**batch, output_hidden_states=True).hidden_states
    kept = batch["attention_mask"].bool()
    return torch.stack(
        [
            1 - cosine_similarity(ours[kept].float(), theirs[kept].float(), dim=-1).mean()
            for ours, theirs in zip(states, targets, strict=True)
        ]
    )


def distil(
    student: RecursiveAdapterModel,
    teacher: BertModel,
    batches: Iterator[Batch],
    schedule: Schedule,
    report: Callable[[Progress], None],
    report_every: int = 50,
) -> Progress:
    """Train every parameter of `student` to follow the states of `teacher`.

    Args:
        student: Changed in place; its dropout is off, the teacher's states being exact.
        teacher: In evaluation mode.
        batches: Text.
        schedule: Length and learning rate.
        report: Called every `report_every` updates.
        report_every: Updates between reports.
    """
    student.eval()
    student.requires_grad_(True)
    decayed = [p for p in student.parameters() if p.ndim > 1]
    plain = [p for p in student.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": schedule.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=schedule.learning_rate,
        betas=(0.9, 0.98),
    )
    progress, started, recent = Progress(), time.monotonic(), []
    for update, batch in enumerate(batches, start=1):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(progress.tokens)
        distances = cosine_distances(student, teacher, batch)
        optimiser.zero_grad()
        torch.autograd.backward(distances.sum())
        torch.nn.utils.clip_grad_norm_([*decayed, *plain], 1.0)
        optimiser.step()
        recent.append(distances.detach())
        progress.tokens += int(batch["attention_mask"].sum())
        progress.seconds = time.monotonic() - started
        finished = progress.tokens >= schedule.tokens
        if finished or update % report_every == 0:
            mean = torch.stack(recent).mean(0)
            progress.curve.append((progress.tokens, [round(float(d), 4) for d in mean]))
            recent = []
            report(progress)
        if finished:
            break
    return progress
