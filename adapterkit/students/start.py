"""Students made from a teacher, before any distillation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import BertModel

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.bert_layers import layer_parameter
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.backbones.pretrained import activate_pretrained
from adapterkit.backbones.tying import BLOCK_PARAMETERS, is_matrix
from adapterkit.students.embeddings import factorise_embeddings, fit_projection
from adapterkit.students.layer_map import resolve_layers
from adapterkit.students.relaxed import add_relaxed
from adapterkit.students.starting_point import Start, chosen_layers, student_config

if TYPE_CHECKING:
    from adapterkit.students.recipe import Student
    from adapterkit.students.teacher import Teacher

__all__ = ["Start", "build_student", "fit_projection", "start_student"]


def start_student(
    student: Student, teacher: Teacher, seed: int, layers: Sequence[int] | None = None
) -> RecursiveAdapterModel:
    """The student of a recipe; see `build_student`.

    Args:
        student: The recipe's section.
        teacher: The teacher.
        seed: Of everything that is random.
        layers: For each recursion step, the teacher layer it learns from, the first being 1; None
            spreads them evenly.

    Raises:
        UserError: The student cannot be, or cannot start there from this teacher.
    """
    steps = student.steps or (teacher.layers if layers is None else len(layers))
    relaxed = student.relaxed
    start = Start(
        kind=student.start,
        layers=resolve_layers(layers, steps, teacher.layers),
        embedding_size=student.embedding_size,
        hidden_size=student.hidden_size,
        intermediate_size=student.intermediate_size,
        attention_heads=student.attention_heads,
        reduction_factor=student.layerwise.reduction_factor if student.layerwise else None,
        rank=relaxed.rank if relaxed else None,
        own=tuple(relaxed.own) if relaxed else (),
    )
    return build_student(start, teacher.encoder, seed)


def build_student(start: Start, encoder: BertModel, seed: int = 0) -> RecursiveAdapterModel:
    """A student in evaluation mode; the random state outside is left as it was.

    The block's matrices are those `start` names. Embedding tables come from the teacher's by
    truncated SVD, whatever the start; at the teacher's own width they are its tables and LayerNorm
    themselves, and where that is the student's width too, there is no projection. Layer-wise
    adapters start with zero up-projections, and take over the gain and bias of the teacher's
    LayerNorm they stand behind, so that what a step owns is right from the beginning although its
    matrices are shared; so do LayerNorms and biases that are a step's own. The updates of relaxed
    recursion start at what `relaxed.add_relaxed` says.

    Args:
        start: What the student is.
        encoder: The teacher.
        seed: Of everything that is random.

    Raises:
        UserError: The student cannot be, or cannot start there from this teacher.
    """
    config = student_config(start, encoder.config)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = RecursiveAdapterModel(config)
        factorise_embeddings(model, encoder)
        if start.kind != "random":
            _start_block(model, encoder, start)
        if start.reduction_factor is not None:
            _add_layerwise(model, start.reduction_factor)
            if start.kind != "random":
                _start_layerwise(model, encoder, start)
        if start.rank is not None:
            chosen = None if start.kind == "random" else start.layers
            add_relaxed(model, start.rank, encoder, chosen)
        activate_pretrained(model)
    model.eval()
    return model


def _start_block(model: RecursiveAdapterModel, encoder: BertModel, start: Start) -> None:
    layers: Any = encoder.encoder.layer
    chosen = chosen_layers(start.kind, len(layers))
    blocks = model.albert.encoder.blocks()
    for name in BLOCK_PARAMETERS:
        if start.own and not is_matrix(name):
            for block, layer in zip(blocks, start.layers, strict=True):
                block.get_parameter(name).copy_(layer_parameter(layers[layer - 1], name))
        else:
            mean = torch.stack([layer_parameter(layers[k], name) for k in chosen]).mean(0)
            blocks[0].get_parameter(name).copy_(mean)


def _add_layerwise(model: RecursiveAdapterModel, reduction_factor: float) -> None:
    config = layerwise_config(model.config.num_hidden_layers, reduction_factor)
    model.add_adapter(LAYERWISE, config=config)


def _start_layerwise(model: RecursiveAdapterModel, encoder: BertModel, start: Start) -> None:
    blocks: list[Any] = model.albert.encoder.blocks()
    layers: Any = encoder.encoder.layer
    for block, number in zip(blocks, start.layers, strict=True):
        layer = layers[number - 1]
        for slot, norm, theirs in (
            (
                block.attention.attention_adapters,
                block.attention.LayerNorm,
                layer.attention.output.LayerNorm,
            ),
            (block.output_adapters, block.full_layer_layer_norm, layer.output.LayerNorm),
        ):
            if LAYERWISE in slot.adapters:
                # The block's gain and bias, behind which the adapter's stand, then change nothing.
                nn.init.ones_(norm.weight)
                nn.init.zeros_(norm.bias)
                adapter = slot.adapters[LAYERWISE]
                nn.init.zeros_(adapter.adapter_up.weight)
                nn.init.zeros_(adapter.adapter_up.bias)
                adapter.adapter_norm_after.load_state_dict(theirs.state_dict())
