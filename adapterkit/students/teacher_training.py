"""An optional first stage: the teacher's own masked-LM training goes on, on the corpus."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from transformers import BertModel

from adapterkit.runs.errors import UserError
from adapterkit.students.batching import batches, held_out_batches
from adapterkit.students.corpus import Corpus
from adapterkit.students.masking import IGNORED, generator_of, mask
from adapterkit.students.packing import Batch
from adapterkit.students.schedule import Schedule
from adapterkit.students.teacher import Teacher
from adapterkit.students.teacher_files import masked_lm_head

if TYPE_CHECKING:
    from accelerate import Accelerator

_CHECK_UPDATES = 20
_CLIP = 1.0


@dataclass(frozen=True)
class MaskedLmSettings:
    """How the teacher is trained.

    Attributes:
        tokens: Word pieces to see, padding not counted.
        learning_rate: Peak of AdamW's rate; warm-up, then half a cosine down to a tenth.
        batch_tokens: Word pieces an update on each device, padding included.
        masking: Share of the word pieces that are hidden.
        warmup: Share of `tokens` spent warming up.
        weight_decay: AdamW's, on matrices only.
        seed: Of the order, the masking and a fresh head.
    """

    tokens: int
    learning_rate: float = 1e-4
    batch_tokens: int = 4096
    masking: float = 0.15
    warmup: float = 0.05
    weight_decay: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class TeacherState:
    """Where the training of a teacher stands after an update.

    Attributes:
        update: Updates made.
        tokens: Word pieces seen, over all processes.
        loss: The update's cross-entropy in nats; reading it waits for the device.
        snapshot: Makes what `train_teacher` resumes from.
    """

    update: int
    tokens: int
    loss: torch.Tensor
    snapshot: Callable[[], dict[str, Any]]


class MaskedLm(nn.Module):
    """An encoder with its masked-LM head, and the loss it is trained by."""

    def __init__(self, encoder: BertModel, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, batch: Batch, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy at the masked positions, in nats; 0 where there are none."""
        states = self.encoder(batch["input_ids"], batch["attention_mask"]).last_hidden_state
        chosen = (labels.flatten() != IGNORED).nonzero().squeeze(1)
        scores = self.head(states.flatten(0, 1)[chosen]).float()
        entropy = functional.cross_entropy(scores, labels.flatten()[chosen], reduction="sum")
        return entropy / max(1, len(chosen))


def with_head(teacher: Teacher, seed: int) -> Teacher:
    """The teacher, with a fresh masked-LM head if it has none."""
    if teacher.head is not None:
        return teacher
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return replace(teacher, head=masked_lm_head(teacher.encoder))


def train_teacher(
    teacher: Teacher,
    corpus: Corpus,
    settings: MaskedLmSettings,
    accelerator: Accelerator,
    *,
    resume: Mapping[str, Any] | None = None,
    after_update: Callable[[TeacherState], None] | None = None,
) -> Teacher:
    """Go on with a teacher's masked-LM training; its encoder is changed in place.

    Dropout is off, so that nothing but the seed and the number of an update decides what it does:
    resumed from a snapshot it ends with the weights of a run that was never stopped.

    Args:
        teacher: The teacher; one without a masked-LM head gets a fresh one.
        corpus: The text.
        settings: How it is trained.
        accelerator: Where: device, precision, processes.
        resume: A snapshot to go on from.
        after_update: Called after every update; what it raises stops the training.

    Returns:
        The teacher with its head, in evaluation mode and frozen.

    Raises:
        UserError: The GPU's memory does not suffice, or the training diverged.
    """
    teacher = with_head(teacher, settings.seed)
    assert teacher.head is not None
    plain = MaskedLm(teacher.encoder, teacher.head).to(accelerator.device).eval()
    plain.requires_grad_(True)
    optimiser = _optimiser(plain, settings)
    update = tokens = 0
    if resume is not None:
        update, tokens = resume["update"], resume["tokens"]
        plain.load_state_dict(resume["model"])
        optimiser.load_state_dict(resume["optimiser"])
    model = accelerator.prepare_model(plain)
    schedule = Schedule(settings.tokens, settings.learning_rate, settings.warmup)
    for number, batch in _numbered(corpus, settings, accelerator, update):
        if tokens >= settings.tokens:
            break
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(tokens)
        masked, labels = mask(
            batch, teacher.tokenizer, settings.masking, generator_of(settings.seed, number)
        )
        shown = {"input_ids": masked, "attention_mask": batch["attention_mask"]}
        loss = _learn(model, optimiser, shown, labels, settings, accelerator)
        update, tokens = update + 1, tokens + _sum(batch["attention_mask"].sum(), accelerator)
        if update % _CHECK_UPDATES == 0 or tokens >= settings.tokens:
            _check_finite(loss, settings)
        if after_update is not None:
            snapshot = _snapshot(plain, optimiser, update, tokens)
            after_update(TeacherState(update, tokens, loss, snapshot))
    plain.eval().requires_grad_(False)
    return teacher


def held_out_loss(teacher: Teacher, corpus: Corpus, settings: MaskedLmSettings) -> float:
    """Cross-entropy at masked positions of the held-out windows, in nats; NaN if there are none.

    The same positions are masked at every call. Its exponential is the perplexity.

    Args:
        teacher: A teacher with a head, wherever it is.
        corpus: The text.
        settings: Of the masking, its seed and the size of batches.
    """
    assert teacher.head is not None
    model = MaskedLm(teacher.encoder, teacher.head)
    device = next(model.parameters()).device
    summed, count = 0.0, 0
    with torch.no_grad():
        windows = held_out_batches(corpus, batch_tokens=settings.batch_tokens)
        for number, batch in enumerate(windows):
            generator = generator_of(settings.seed, number)
            masked, labels = mask(batch, teacher.tokenizer, settings.masking, generator)
            shown = {"input_ids": masked, "attention_mask": batch["attention_mask"]}
            chosen = int((labels != IGNORED).sum())
            loss = model({name: t.to(device) for name, t in shown.items()}, labels.to(device))
            summed, count = summed + float(loss) * chosen, count + chosen
    return summed / count if count else math.nan


def _numbered(
    corpus: Corpus, settings: MaskedLmSettings, accelerator: Accelerator, update: int
) -> Iterator[tuple[int, Batch]]:
    """This process's batches from an update on, with their numbers among those of all."""
    processes = accelerator.num_processes
    number = update * processes + accelerator.process_index
    stream = batches(
        corpus,
        batch_tokens=settings.batch_tokens,
        seed=settings.seed,
        start=number,
        stride=processes,
    )
    for batch in stream:
        yield number, batch
        number += processes


def _learn(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    labels: torch.Tensor,
    settings: MaskedLmSettings,
    accelerator: Accelerator,
) -> torch.Tensor:
    device = accelerator.device
    with _memory_errors(settings):
        shown = {name: tensor.to(device) for name, tensor in batch.items()}
        loss: torch.Tensor = model(shown, labels.to(device))
        accelerator.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimiser.step()
        optimiser.zero_grad()
    return loss.detach()


def _optimiser(model: nn.Module, settings: MaskedLmSettings) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))


def _snapshot(
    model: nn.Module, optimiser: torch.optim.Optimizer, update: int, tokens: int
) -> Callable[[], dict[str, Any]]:
    def take() -> dict[str, Any]:
        return {
            "update": update,
            "tokens": tokens,
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
        }

    return take


def _sum(count: torch.Tensor, accelerator: Accelerator) -> int:
    if accelerator.num_processes > 1:
        count = accelerator.reduce(count.to(accelerator.device))
    return int(count)


def _check_finite(loss: torch.Tensor, settings: MaskedLmSettings) -> None:
    if not math.isfinite(float(loss)):
        raise UserError(
            "The loss of the teacher is no number any more: its training diverged.",
            where="teacher_training.learning_rate",
            found=str(settings.learning_rate),
            hint="start anew with a lower one",
        )


@contextmanager
def _memory_errors(settings: MaskedLmSettings) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            "The GPU's memory does not suffice to train the teacher.",
            where="teacher_training.batch_tokens",
            found=f"{settings.batch_tokens:,} word pieces a batch",
            hint=f"lower it, for example to {max(64, settings.batch_tokens // 2)}",
        ) from error
