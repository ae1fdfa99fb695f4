"""Everything a distillation works with, from recipe to device."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.pruned import masks_of, prune_factors
from adapterkit.runs.progress import Progress
from adapterkit.students.attention import use_written_out_attention
from adapterkit.students.batching import batches
from adapterkit.students.corpus import Corpus
from adapterkit.students.embeddings import count_word_pieces, factorise_embeddings
from adapterkit.students.fitting import fit_matrices
from adapterkit.students.going_on import kept_at_the_end, started_from
from adapterkit.students.inputs import Inputs
from adapterkit.students.learner import Learner
from adapterkit.students.masking import generator_of, mask
from adapterkit.students.objective import read
from adapterkit.students.packing import Batch
from adapterkit.students.probe import Probe
from adapterkit.students.pruning import PruningSchedule
from adapterkit.students.recipe import Recipe, Training
from adapterkit.students.schedule import Schedule
from adapterkit.students.start import fit_projection, start_student
from adapterkit.students.teacher import Teacher

_FIT_BATCHES, _FIT_TOKENS = 24, 2048
_COUNT_BATCHES, _COUNT_TOKENS = 32, 65_536


@dataclass(frozen=True)
class Session:
    """A distillation in memory.

    Attributes:
        inputs: What the recipe names.
        teacher: The teacher that is learned from, on the device.
        learner: What is trained, as the accelerator wraps it.
        plain: The same without its wrapping.
        optimiser: AdamW.
        schedule: The learning rate.
        explained: The share of the variance of the teacher's embedding output that the student's
            embeddings explain before they learn, where they were fitted.
    """

    inputs: Inputs
    teacher: Teacher
    learner: nn.Module
    plain: Learner
    optimiser: Any
    schedule: Schedule
    explained: float | None

    @property
    def recipe(self) -> Recipe:
        """What is asked."""
        return self.inputs.recipe

    @property
    def accelerator(self) -> Accelerator:
        """Where it runs: device, precision, processes."""
        return self.inputs.accelerator

    @property
    def corpus(self) -> Corpus:
        """The text."""
        return self.inputs.corpus

    @property
    def probe(self) -> Probe | None:
        """What frozen states are probed on, if anything."""
        return self.inputs.probe

    @property
    def compiled(self) -> bool:
        """Whether the transformer blocks are compiled."""
        return compiles(self.recipe.training, self.device)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        device: torch.device = self.accelerator.device
        return device

    def batches(self, update: int) -> Iterator[Batch]:
        """This process's batches from an update on."""
        processes, own = self.accelerator.num_processes, self.accelerator.process_index
        training = self.recipe.training
        return batches(
            self.corpus,
            batch_tokens=training.batch_tokens,
            seed=training.seed,
            start=update * processes + own,
            stride=processes,
        )

    def total(self, count: int) -> int:
        """The sum of a count over all processes."""
        if self.accelerator.num_processes == 1:
            return count
        return int(self.accelerator.reduce(torch.tensor(count, device=self.device)).item())

    def snapshot(self) -> dict[str, Any]:
        """What a checkpoint holds besides the state of the loop."""
        return {
            "learner": self.plain.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "masks": masks_of(self.plain.student),
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        """Go back to what `snapshot` told."""
        self.plain.load_state_dict(content["learner"])
        prune_factors(self.plain.student, content["masks"])
        self.optimiser.load_state_dict(content["optimiser"])

    def terms(self, batch: Batch, update: int) -> dict[str, torch.Tensor]:
        """The terms of the objective on a batch of this process, with ``loss``, their sum.

        Args:
            batch: The text as it is.
            update: The update the batch is for; it decides which word pieces are masked.
        """
        batch, targets = self._given(batch, update)
        terms: dict[str, torch.Tensor] = self.learner(batch, targets)
        return terms

    def plain_terms(self, batch: Batch) -> dict[str, torch.Tensor]:
        """As `terms` for update 0, of this process alone."""
        batch, targets = self._given(batch, 0)
        with self.accelerator.autocast():
            terms: dict[str, torch.Tensor] = self.plain(batch, targets)
        return terms

    @property
    def pruning(self) -> PruningSchedule | None:
        """What share of the factors' numbers is kept when, if they are pruned on the way."""
        asked, tokens = self.recipe.student.pruning, self.recipe.training.tokens
        if asked is None or self.inputs.backbone is None:
            return None
        keep = kept_at_the_end(asked, self.inputs.backbone)
        return PruningSchedule(keep, asked.begin * tokens, asked.end * tokens)

    def _given(self, batch: Batch, update: int) -> tuple[Batch, Any]:
        """What the learner is given: the text, masked where terms need it, and the targets."""
        weights = self.plain.weights
        if weights.masks:
            number = update * self.accelerator.num_processes + self.accelerator.process_index
            chance = generator_of(self.recipe.training.seed, number)
            share = self.recipe.corpus.masking
            ids, labels = mask(batch, self.teacher.tokenizer, share, chance)
            batch = {**batch, "input_ids": ids, "labels": labels}
        batch = {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
        with torch.no_grad(), self.accelerator.autocast():
            return batch, read(self.teacher.encoder, batch, weights)


def begin(inputs: Inputs, teacher: Teacher, progress: Progress) -> Session:
    """Put the student where it starts.

    Args:
        inputs: What the recipe names.
        teacher: The teacher as it is to be learned from.
        progress: Told how it goes.

    Raises:
        UserError: The student cannot be, or cannot start there from this teacher.
    """
    accelerator, training = inputs.accelerator, inputs.recipe.training
    progress.begin("starting the student")
    for module in (teacher.encoder, teacher.head):
        if module is not None:
            module.cpu()
    student = _started(inputs, teacher)
    explained = None
    if inputs.backbone is None:
        explained = fit_projection(student, teacher.encoder, _text_to_fit(inputs))
    if inputs.weights.attention > 0:
        for model in (student, teacher.encoder):
            use_written_out_attention(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        plain = Learner(student, teacher, inputs.weights, inputs.layers).to(accelerator.device)
    for module in (teacher.encoder, teacher.head):
        if module is not None:
            module.to(accelerator.device)
    if compiles(training, accelerator.device):
        compile_blocks(student, teacher)
    learner, optimiser = accelerator.prepare(plain, _optimiser(plain, training.weight_decay))
    schedule = Schedule(training.tokens, training.learning_rate, training.warmup)
    return Session(inputs, teacher, learner, plain, optimiser, schedule, explained)


def _started(inputs: Inputs, teacher: Teacher) -> RecursiveAdapterModel:
    section = inputs.recipe.student
    if inputs.backbone is not None:
        return started_from(inputs.backbone, section, inputs.recipe.training.seed)
    student = start_student(section, teacher, inputs.recipe.training.seed, inputs.layers)
    if section.fit == "text":
        text = _text(inputs, _COUNT_BATCHES, _COUNT_TOKENS)
        counts = count_word_pieces(text, teacher.encoder.config.vocab_size)
        factorise_embeddings(student, teacher.encoder, counts)
        if section.start != "random":
            fit_matrices(
                student, teacher.encoder, inputs.layers, _text(inputs, _FIT_BATCHES, _FIT_TOKENS)
            )
    return student


def compiles(training: Training, device: torch.device) -> bool:
    """Whether torch.compile is to be used."""
    return device.type == "cuda" if training.compile == "auto" else training.compile


def compile_blocks(student: Any, teacher: Teacher) -> None:
    """Compile the transformer blocks, in place: names in a checkpoint stay as they are."""
    for block in (*student.albert.encoder.blocks(), *teacher.encoder.encoder.layer):
        block.compile()


def _optimiser(learner: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def _text_to_fit(inputs: Inputs) -> Iterator[Batch]:
    return _text(inputs, _FIT_BATCHES, _FIT_TOKENS)


def _text(inputs: Inputs, count: int, size: int) -> Iterator[Batch]:
    seed = inputs.recipe.training.seed + 1
    return itertools.islice(batches(inputs.corpus, batch_tokens=size, seed=seed), count)
