"""Where a student starts: at random, at the average of its teacher's layers, or at one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from adapters import AdapterSetup
from torch import nn
from transformers import BertModel

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.backbones.tying import BLOCK_PARAMETERS, MATRICES
from adapterkit.runs.errors import UserError, nearest

if TYPE_CHECKING:
    from adapterkit.students.corpus import Batch
    from adapterkit.students.recipe import Student
    from adapterkit.students.teacher import Teacher

LAYERNORMS, BIASES = "layernorms", "biases"

# ALBERT's names in the block, and where a BERT layer holds the same tensor.
_BERT_NAMES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.dense": "attention.output.dense",
    "attention.LayerNorm": "attention.output.LayerNorm",
    "ffn": "intermediate.dense",
    "ffn_output": "output.dense",
    "full_layer_layer_norm": "output.LayerNorm",
}


@dataclass(frozen=True)
class Start:
    """What a student is and where it starts; a size that is None is the teacher's.

    Attributes:
        kind: ``"random"``, ``"average"`` (the block is the mean of all the teacher's layers) or
            ``"layer:K"`` (it is the teacher's layer K, the first being 1).
        layers: For each recursion step, the teacher layer it learns from, the first being 1.
        embedding_size: Width of the factorised embedding tables.
        hidden_size: Width of the states.
        intermediate_size: Width of the feed-forward layer.
        attention_heads: Attention heads of the block.
        reduction_factor: Hidden over bottleneck width of the layer-wise adapters; None: no such
            adapters.
        own: ``("layernorms", "biases")`` if these are each step's own.
    """

    kind: str
    layers: tuple[int, ...]
    embedding_size: int = 128
    hidden_size: int | None = None
    intermediate_size: int | None = None
    attention_heads: int | None = None
    reduction_factor: float | None = 16
    own: tuple[str, ...] = ()


def start_student(
    student: Student, teacher: Teacher, seed: int, layers: Sequence[int]
) -> RecursiveAdapterModel:
    """The student of a recipe; see `build_student`.

    Args:
        student: The recipe's section.
        teacher: The teacher.
        seed: Of everything that is random.
        layers: For each recursion step, the teacher layer it learns from, the first being 1.

    Raises:
        UserError: The student cannot be, or cannot start there from this teacher.
    """
    start = Start(
        kind=student.start,
        layers=tuple(layers),
        embedding_size=student.embedding_size,
        hidden_size=student.hidden_size,
        intermediate_size=student.intermediate_size,
        attention_heads=student.attention_heads,
        reduction_factor=student.layerwise.reduction_factor if student.layerwise else None,
    )
    return build_student(start, teacher.encoder, seed)


def build_student(start: Start, encoder: BertModel, seed: int = 0) -> RecursiveAdapterModel:
    """A student in evaluation mode; the random state outside is left as it was.

    The block's matrices are those `start` names. Embedding tables come from the teacher's by
    truncated SVD, whatever the start; at the teacher's own width they are its tables and LayerNorm
    themselves, and where that is the student's width too, there is no projection. Layer-wise
    adapters start with zero up-projections, and take over the gain and bias of the teacher's
    LayerNorm they stand behind, so that what a step owns is right from the beginning although its
    matrices are shared; so do LayerNorms and biases that are a step's own.

    Args:
        start: What the student is.
        encoder: The teacher.
        seed: Of everything that is random.

    Raises:
        UserError: The student cannot be, or cannot start there from this teacher.
    """
    config = _config(start, encoder.config)
    _check(start, config, encoder.config)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = RecursiveAdapterModel(config)
        _factorise_embeddings(model, encoder)
        if start.kind != "random":
            _start_block(model, encoder, start)
        if start.reduction_factor is not None:
            _add_layerwise(model, start.reduction_factor)
            if start.kind != "random":
                _start_layerwise(model, encoder, start)
    model.eval()
    return model


def _config(start: Start, source: Any) -> RecursiveConfig:
    hidden = start.hidden_size or source.hidden_size
    inner = start.intermediate_size or source.intermediate_size * hidden // source.hidden_size
    heads = start.attention_heads or source.num_attention_heads
    if hidden % heads:
        raise UserError(
            f"{heads} attention heads cannot share a width of {hidden}.",
            where="student: attention_heads",
            allowed="a divisor of hidden_size",
        )
    return RecursiveConfig(
        vocab_size=source.vocab_size,
        embedding_size=start.embedding_size,
        hidden_size=hidden,
        num_hidden_layers=len(start.layers),
        num_attention_heads=heads,
        intermediate_size=inner,
        tied="matrices" if start.own else "all",
        embedding_projection=not (start.embedding_size == hidden == source.hidden_size),
        max_position_embeddings=source.max_position_embeddings,
        type_vocab_size=source.type_vocab_size,
        hidden_act=source.hidden_act,
        layer_norm_eps=source.layer_norm_eps,
        use_pooler=False,
        pad_token_id=source.pad_token_id,
    )


def _check(start: Start, config: RecursiveConfig, source: Any) -> None:
    total = source.num_hidden_layers
    if not start.layers or any(not 1 <= layer <= total for layer in start.layers):
        raise UserError(
            "There is no such layer in the teacher.",
            where="layers",
            found=", ".join(map(str, start.layers)) or "none",
            allowed=f"1 to {total}",
        )
    if set(start.own) not in (set(), {LAYERNORMS, BIASES}):
        raise UserError(
            "A step cannot own these alone.",
            where="student: relaxed.own",
            found=", ".join(start.own),
            allowed=f"[{LAYERNORMS}, {BIASES}], or []",
        )
    if not 1 <= start.embedding_size <= source.hidden_size:
        raise UserError(
            "The embedding tables cannot be wider than the teacher's.",
            where="student: embedding_size",
            found=str(start.embedding_size),
            allowed=f"1 to {source.hidden_size}",
        )
    relative = getattr(source, "position_embedding_type", "absolute")
    if relative != "absolute":
        raise UserError(
            "The teacher has positions that a student cannot take over.",
            where="teacher: position_embedding_type",
            found=str(relative),
            allowed="absolute",
        )
    if start.reduction_factor is not None and start.reduction_factor > config.hidden_size:
        raise UserError(
            "The layer-wise adapters would have no unit.",
            where="student: layerwise.reduction_factor",
            found=f"{start.reduction_factor:g}",
            allowed=f"1 to {config.hidden_size}",
        )
    if start.kind != "random":
        _check_same_shape(start, config, source)


def _check_same_shape(start: Start, config: RecursiveConfig, source: Any) -> None:
    chosen_layers(start.kind, source.num_hidden_layers)
    for name, option in (
        ("hidden_size", "hidden_size"),
        ("intermediate_size", "intermediate_size"),
        ("num_attention_heads", "attention_heads"),
    ):
        found, needed = getattr(config, name), getattr(source, name)
        if found != needed:
            raise UserError(
                f"A block of another shape cannot start at {start.kind} of the teacher's layers."
                if start.kind == "average"
                else f"A block of another shape cannot start at the teacher's {start.kind}.",
                where=f"student: {option}",
                found=str(found),
                allowed=f"{needed}, the teacher's",
                hint="set start: random, or keep the teacher's size",
            )


def chosen_layers(kind: str, total: int) -> list[int]:
    """The teacher's layers, the first being 0, whose mean the block starts at.

    Args:
        kind: ``"average"`` or ``"layer:K"``.
        total: Number of the teacher's layers.

    Raises:
        UserError: `kind` is neither, or there is no layer K.
    """
    if kind == "average":
        return list(range(total))
    word, _, number = kind.partition(":")
    if word != "layer" or not number.isdecimal():
        close = nearest(word, ("random", "average", "layer:K"))
        raise UserError(
            "A student cannot start there.",
            where="student: start",
            found=kind,
            allowed="random, average, layer:K",
            hint=f"did you mean {close}?" if close else None,
        )
    if not 1 <= int(number) <= total:
        raise UserError(
            "There is no such layer in the teacher.",
            where="student: start",
            found=kind,
            allowed=f"layer:1 to layer:{total}",
        )
    return [int(number) - 1]


def layer_parameter(layer: nn.Module, name: str) -> nn.Parameter:
    """The parameter of a BERT layer that the block calls `name`, one of `BLOCK_PARAMETERS`."""
    module, _, kind = name.rpartition(".")
    return layer.get_parameter(f"{_BERT_NAMES[module]}.{kind}")


def _factorise_embeddings(model: RecursiveAdapterModel, encoder: BertModel) -> None:
    source: Any = encoder.embeddings
    target: Any = model.albert.embeddings
    if model.config.embedding_size == encoder.config.hidden_size:
        # A rotation at full width would only be in the way of the LayerNorm.
        kept = {k: v for k, v in source.state_dict().items() if k in target.state_dict()}
        target.load_state_dict(kept)
        return
    table = source.word_embeddings.weight
    _, _, basis = torch.linalg.svd(table - table.mean(0), full_matrices=False)
    basis = basis[: model.config.embedding_size].T
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        weight: torch.Tensor = getattr(source, name).weight
        # LayerNorm follows the sum in the narrow space, so the scale is free; 1 keeps it tame.
        narrow = (weight - table.mean(0) if name == "word_embeddings" else weight) @ basis
        getattr(target, name).weight.copy_(narrow)


def _start_block(model: RecursiveAdapterModel, encoder: BertModel, start: Start) -> None:
    layers: Any = encoder.encoder.layer
    chosen = chosen_layers(start.kind, len(layers))
    blocks = model.albert.encoder.blocks()
    for name in BLOCK_PARAMETERS:
        if start.own and name not in MATRICES:
            for block, layer in zip(blocks, start.layers, strict=True):
                block.get_parameter(name).copy_(layer_parameter(layers[layer - 1], name))
        else:
            mean = torch.stack([layer_parameter(layers[k], name) for k in chosen]).mean(0)
            blocks[0].get_parameter(name).copy_(mean)


def _add_layerwise(model: RecursiveAdapterModel, reduction_factor: float) -> None:
    config = layerwise_config(model.config.num_hidden_layers, reduction_factor)
    model.add_adapter(LAYERWISE, config=config)
    # Inside the setup AdapterHub does not warn that no adapter is active yet.
    with AdapterSetup(LAYERWISE):
        model.set_active_adapters(LAYERWISE)


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


def fit_projection(
    model: RecursiveAdapterModel, encoder: BertModel, batches: Iterable[Batch], ridge: float = 1e-3
) -> float | None:
    """Set the embedding projection to the least-squares map onto the teacher's embedding output.

    Args:
        model: The student; changed in place.
        encoder: The teacher.
        batches: Text to fit on, ``input_ids`` and ``attention_mask``.
        ridge: Weight of the penalty on the map, relative to the mean square of its input.

    Returns:
        The share of the teacher's variance that the map explains, on the same text. None where
        there is nothing to fit: the student has no projection, or another width than the teacher.
    """
    wanted = model.config.hidden_size == encoder.config.hidden_size
    if not (wanted and model.config.embedding_projection):
        return None
    narrow, wide = [], []
    own: Any = model.albert.embeddings
    theirs: Any = encoder.embeddings
    with torch.no_grad():
        for batch in batches:
            kept = batch["attention_mask"].bool()
            narrow.append(own(batch["input_ids"])[kept])
            wide.append(theirs(batch["input_ids"])[kept])
        inputs, targets = torch.cat(narrow), torch.cat(wide)
        mean_in, mean_out = inputs.mean(0), targets.mean(0)
        x, y = inputs - mean_in, targets - mean_out
        gram = x.T @ x
        gram.diagonal().add_(ridge * gram.diagonal().mean())
        weight = torch.linalg.solve(gram, x.T @ y)
        projection: Any = model.albert.encoder.embedding_hidden_mapping_in
        projection.weight.copy_(weight.T)
        projection.bias.copy_(mean_out - mean_in @ weight)
        return float(1 - (y - x @ weight).square().sum() / y.square().sum())
