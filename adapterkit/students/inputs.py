"""What a distillation needs before it begins, found and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from adapterkit.backbones.loading import Backbone
from adapterkit.runs.errors import UserError
from adapterkit.runs.progress import Progress
from adapterkit.students.corpus import Corpus, open_corpus
from adapterkit.students.going_on import open_student
from adapterkit.students.layer_map import resolve_layers
from adapterkit.students.objective import Weights, check_weights
from adapterkit.students.probe import Probe, open_probe
from adapterkit.students.processes import on_processor
from adapterkit.students.recipe import Recipe, Training
from adapterkit.students.teacher import Teacher, load_teacher
from adapterkit.students.teacher_training import with_head


@dataclass(frozen=True)
class Inputs:
    """What a recipe names, found and checked, before anything is learned.

    Attributes:
        recipe: What is asked.
        accelerator: Where it runs.
        teacher: The teacher; with a fresh masked-LM head if it is to be trained and has none.
        corpus: The text.
        weights: Of the terms of the objective.
        layers: The teacher's layer, from one, that each step learns from.
        probe: What frozen states are probed on, if anything.
        backbone: What the student goes on from, if it is a backbone.
        identity: What a resumed distillation must find again.
    """

    recipe: Recipe
    accelerator: Accelerator
    teacher: Teacher
    corpus: Corpus
    weights: Weights
    layers: tuple[int, ...]
    probe: Probe | None
    backbone: Backbone | None
    identity: Mapping[str, Any]


def open_inputs(recipe: Recipe, progress: Progress) -> Inputs:
    """Bring what a recipe names into memory.

    Raises:
        UserError: Teacher, corpus, objective, layers or probe are not as they have to be.
    """
    accelerator = _accelerator(recipe.training)
    progress.begin("loading the teacher")
    teacher = load_teacher(recipe.teacher)
    identity = {
        "id": teacher.id,
        "layers": teacher.layers,
        "hidden_size": teacher.hidden_size,
        "sha256": _sha256(teacher.encoder),
    }
    if recipe.teacher_training is not None:
        teacher = with_head(teacher, recipe.training.seed)
    backbone = open_student(recipe.student, teacher)
    steps = recipe.student.steps or teacher.layers if backbone is None else backbone.steps
    layers = resolve_layers(recipe.layers, steps, teacher.layers)
    weights = Weights(**recipe.objective.model_dump())
    heads = recipe.student.attention_heads or teacher.heads
    if backbone is not None:
        heads = backbone.model.config.num_attention_heads
    check_weights(weights, teacher, heads)
    _check_window(recipe, teacher)
    probe = None
    if recipe.evaluation.probe:
        probe = open_probe(recipe.evaluation.probe, teacher.tokenizer, recipe.corpus.window)
    with accelerator.main_process_first():
        corpus = _open_corpus(recipe, teacher, progress)
    files = {file.name: file.sha256 for file in corpus.files}
    found = {"teacher": identity, "corpus": files}
    if backbone is not None:
        found["backbone"] = {"fingerprint": backbone.fingerprint}
    return Inputs(recipe, accelerator, teacher, corpus, weights, layers, probe, backbone, found)


def _accelerator(training: Training) -> Accelerator:
    precision = training.precision
    if precision == "auto":
        fits = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        precision = "bfloat16" if fits else "float32"
    if torch.cuda.is_available():
        # TF32 for what stays in float32: the projection of the embeddings, the loss.
        torch.set_float32_matmul_precision("high")
    if AcceleratorState._shared_state:
        # One left by other work in this process; its precision would be ours.
        AcceleratorState._reset_state()
    mixed = {"bfloat16": "bf16", "float32": "no"}[precision]
    return Accelerator(cpu=on_processor(), mixed_precision=mixed)


def _open_corpus(recipe: Recipe, teacher: Teacher, progress: Progress) -> Corpus:
    progress.begin("reading the corpus")
    counted = [0]

    def report(pieces: int) -> None:
        progress.advance(pieces - counted[0])
        counted[0] = pieces

    section = recipe.corpus
    return open_corpus(
        [Path(file) for file in section.files],
        teacher.tokenizer,
        window=section.window,
        held_out=section.held_out,
        seed=recipe.training.seed,
        report=report,
    )


def _sha256(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_window(recipe: Recipe, teacher: Teacher) -> None:
    positions = int(teacher.encoder.config.max_position_embeddings)
    if recipe.corpus.window > positions:
        raise UserError(
            "The teacher cannot read windows of this length.",
            where="corpus.window",
            found=str(recipe.corpus.window),
            allowed=f"at most {positions} word pieces",
        )
