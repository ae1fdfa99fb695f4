"""Where a student starts: at random, at the average of its teacher's layers, or at one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapterkit.backbones.config import RecursiveConfig
from adapterkit.runs.errors import UserError, nearest

LAYERNORMS, BIASES = "layernorms", "biases"


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
        rank: Rank of each step's own updates of the block's matrices (relaxed recursion); None:
            the steps share the matrices as they are.
        own: ``("layernorms", "biases")`` if these are each step's own.
    """

    kind: str
    layers: tuple[int, ...]
    embedding_size: int = 128
    hidden_size: int | None = None
    intermediate_size: int | None = None
    attention_heads: int | None = None
    reduction_factor: float | None = 16
    rank: int | None = None
    own: tuple[str, ...] = ()


def student_config(start: Start, source: Any) -> RecursiveConfig:
    """The configuration of a student.

    Args:
        start: What the student is.
        source: The teacher's `BertConfig`.

    Raises:
        UserError: The student cannot be, or cannot start there from this teacher.
    """
    hidden = start.hidden_size or source.hidden_size
    inner = start.intermediate_size or source.intermediate_size * hidden // source.hidden_size
    heads = start.attention_heads or source.num_attention_heads
    _check_parts(start)
    _check_sizes(start, hidden, heads, source.hidden_size)
    _check_teacher(start, source)
    config = RecursiveConfig(
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
    if start.kind != "random":
        chosen_layers(start.kind, source.num_hidden_layers)
        _check_same_shape(start.kind, config, source)
    return config


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


def _check_parts(start: Start) -> None:
    if set(start.own) not in (set(), {LAYERNORMS, BIASES}):
        raise UserError(
            "A step cannot own these alone.",
            where="student: relaxed.own",
            found=", ".join(start.own),
            allowed=f"[{LAYERNORMS}, {BIASES}], or []",
        )


def _check_sizes(start: Start, hidden: int, heads: int, teacher_width: int) -> None:
    if hidden % heads:
        raise UserError(
            f"{heads} attention heads cannot share a width of {hidden}.",
            where="student: attention_heads",
            allowed="a divisor of hidden_size",
        )
    for option, found, most, why in (
        ("embedding_size", start.embedding_size, teacher_width, "the teacher's width"),
        ("layerwise.reduction_factor", start.reduction_factor, hidden, "the student's width"),
        ("relaxed.rank", start.rank, hidden, "the student's width"),
    ):
        if found is not None and not 1 <= found <= most:
            raise UserError(
                "The student cannot have this size.",
                where=f"student: {option}",
                found=f"{found:g}",
                allowed=f"1 to {most}, {why}",
            )


def _check_teacher(start: Start, source: Any) -> None:
    total = source.num_hidden_layers
    if not start.layers or any(not 1 <= layer <= total for layer in start.layers):
        raise UserError(
            "There is no such layer in the teacher.",
            where="layers",
            found=", ".join(map(str, start.layers)) or "none",
            allowed=f"1 to {total}",
        )
    relative = getattr(source, "position_embedding_type", "absolute")
    if relative != "absolute":
        raise UserError(
            "The teacher has positions that a student cannot take over.",
            where="teacher: position_embedding_type",
            found=str(relative),
            allowed="absolute",
        )


def _check_same_shape(kind: str, config: RecursiveConfig, source: Any) -> None:
    for name, option in (
        ("hidden_size", "hidden_size"),
        ("intermediate_size", "intermediate_size"),
        ("num_attention_heads", "attention_heads"),
    ):
        found, needed = getattr(config, name), getattr(source, name)
        if found != needed:
            raise UserError(
                f"A block of another shape than the teacher's layers cannot start at {kind!r}.",
                where=f"student: {option}",
                found=str(found),
                allowed=f"{needed}, the teacher's",
                hint="set start: random, or keep the teacher's size",
            )
