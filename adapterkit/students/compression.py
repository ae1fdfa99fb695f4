"""What a backbone is to be compressed to, and by which method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from adapterkit.backbones.factorised.checking import MAX_DIMENSIONS
from adapterkit.backbones.factorised.forms import Form
from adapterkit.backbones.shape import BackboneShape
from adapterkit.runs.errors import UserError

Method = Literal["kronecker", "mpo", "lada"]
METHODS: tuple[str, ...] = get_args(Method)
"""Kronecker products (arXiv 2109.06243), matrix product operators (2303.16753), truncated SVD and
pruning (2004.04124)."""


@dataclass(frozen=True)
class Compression:
    """How far to compress, and how.

    Args:
        method: One of `METHODS`.
        target: Parameters of the result over those of the source, or None where `forms` are given.
        svd: ``lada``: share of each matrix's numbers that its truncated SVD holds; pruning does the
            rest. None: both cut by the same factor, the square root of what is to be kept.
        tensors: ``mpo``: local tensors of each operator.
        start: ``mpo``: ``copy`` gives every step the auxiliary tensors as they come from the
            decomposition. ``stable`` scales the matrices on each step's way through value and
            feed-forward layers by ``(2 L)^(-1/4)``, L being the steps, in the last of their
            auxiliary tensors, so that what a step adds cannot grow with depth; the paper's start
            bounds updates likewise, but its equation was not to be had, and this one is ours.
        forms: The form of every matrix, by module, in place of a target. Nothing is pruned then.
    """

    method: Method
    target: float | None
    svd: float | None = None
    tensors: int = 5
    start: Literal["copy", "stable"] = "copy"
    forms: Mapping[str, Form] | None = None


def check_values(compression: Compression) -> None:
    """Hold a compression's numbers to their ranges.

    Raises:
        UserError: One is out of range.
    """
    if (compression.target is None) == (compression.forms is None):
        raise UserError(
            "How far to compress is to be said once.",
            where="--target, --forms",
            found="neither" if compression.target is None else "both",
            allowed="a share of the parameters, or a file with the form of every matrix",
        )
    if compression.forms is not None and compression.svd is not None:
        raise UserError(
            "The ranks are said twice.",
            where="--svd",
            found=f"{compression.svd:g} beside --forms",
            allowed="one of the two",
            hint="leave --svd out: the file gives the rank of every matrix",
        )
    for option, value in (("target", compression.target), ("svd", compression.svd)):
        if value is not None and not 0 < value < 1:
            raise UserError(
                "A value cannot be used.",
                where=f"--{option}",
                found=f"{value:g}",
                allowed="a share, above 0 and below 1",
            )
    for option, given, method in (
        ("svd", compression.svd is not None, "lada"),
        ("start", compression.start != "copy", "mpo"),
    ):
        if given and compression.method != method:
            raise UserError(
                "The method has no such option.",
                where=f"--{option}",
                found=f"--method {compression.method}",
                allowed=f"--method {method}",
                hint=f"leave --{option} out, or choose the other method",
            )
    if not 2 <= compression.tensors <= MAX_DIMENSIONS:
        raise UserError(
            "A value cannot be used.",
            where="Compression.tensors",
            found=str(compression.tensors),
            allowed=f"2 to {MAX_DIMENSIONS} local tensors",
        )


def check_source(source: BackboneShape) -> None:
    """Hold a backbone to what can be compressed.

    Raises:
        UserError: Its matrices are not dense, or its steps share them.
    """
    found = None
    if source.factorised:
        found = "its matrices are stored as factors"
    elif len(set(source.block_of_step)) < source.num_hidden_layers:
        found = "its steps share a block"
    elif source.layerwise is not None or source.relaxed is not None:
        found = "its steps have adapters of their own"
    elif source.embedding_size < source.hidden_size:
        found = "its embedding table is narrower than its states"
    if found:
        raise UserError(
            "This backbone is compressed already.",
            where="--from",
            found=found,
            allowed="a backbone with dense matrices and a block of its own at every step",
            hint="name the BERT it was made from, such as minilm-l6",
        )
