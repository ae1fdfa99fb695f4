"""What a backbone is compressed to: a form for every matrix, within a budget of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from adapterkit.backbones.factorised.factors import balanced_factors
from adapterkit.backbones.factorised.fitting import (
    kronecker_for,
    kronecker_table_for,
    low_rank_for,
)
from adapterkit.backbones.factorised.forms import Form, Kronecker, MatrixProduct
from adapterkit.backbones.factorised.places import TABLE, matrix_shape
from adapterkit.backbones.shape import BackboneShape
from adapterkit.backbones.tying import LINEARS
from adapterkit.backbones.weights import backbone_weights
from adapterkit.runs.errors import UserError
from adapterkit.students.compression import Compression, check_source, check_values
from adapterkit.students.factor_sizes import group_sizes, linear_flops

# Above 1: an operator that is not truncated has more numbers than the matrix, but is shared.
_SHARES = tuple(0.002 * 650 ** (index / 499) for index in range(500))

_MORE = (1.25, 1.15, 1.1, 1.05, 1.01, 1.0, 0.9, 0.75)


@dataclass(frozen=True)
class Planned:
    """A backbone's form after compression, before any weight is read.

    Attributes:
        shape: Its sizes, with the form of every matrix.
        keep: Share of the factors' numbers that pruning keeps; 1: nothing is pruned.
        parameters: How many numbers it has, those that pruning removes left out.
        source_parameters: How many the source has.
        flops_per_token: Operations of the linear layers of all steps on one token, two a
            multiply-add; attention scores and normalisation are left out, and for matrix product
            operators the multiplying out, which is done once.
        source_flops_per_token: The source's.
    """

    shape: BackboneShape
    keep: float
    parameters: int
    source_parameters: int
    flops_per_token: int
    source_flops_per_token: int


def plan_compression(source: BackboneShape, compression: Compression) -> Planned:
    """Choose the forms that come nearest to the target from below, or take those that are given.

    Every matrix, the embedding table among them, is given the same share of its own numbers, the
    largest that keeps the whole within the target. The table is compressed so that a token keeps a
    row of its own: with ``kronecker`` by row-preserving factors, otherwise by truncated SVD.

    Args:
        source: The backbone to compress, with dense matrices and a block of its own at every step.
        compression: How far, and how.

    Raises:
        UserError: The source is compressed already, a value is out of range, or no form is as small
            as the target.
    """
    check_values(compression)
    check_source(source)
    if compression.target is None:
        return _planned(source, compression, compression.forms or {}, keep=1.0)
    budget = math.floor(compression.target * _parameters(source))
    shares = _shares(source, compression, budget)
    plans = (_with_shares(source, compression, table, block) for table, block in shares)
    fitting = (planned for planned in plans if planned and planned.parameters <= budget)
    if compression.method == "kronecker":
        best = max(fitting, key=lambda planned: planned.parameters, default=None)
    else:
        # Shares fall, and with them what the forms hold.
        best = next(fitting, None)
    if best is None:
        raise _too_small(source, compression)
    return best


def _shares(
    source: BackboneShape, compression: Compression, budget: int
) -> Iterator[tuple[float, float]]:
    """Shares of their numbers that the table and the other matrices could have, falling."""
    if compression.method != "kronecker":
        yield from ((share, share) for share in reversed(_SHARES))
        return
    table = math.prod(matrix_shape(TABLE, source))
    dense = source.num_hidden_layers * sum(math.prod(matrix_shape(m, source)) for m in LINEARS)
    rest = budget - _parameters(source) + table + dense
    # Kronecker forms come in steps: what one matrix leaves of its budget another may take.
    for more in _MORE:
        of_table = more * rest / (table + dense)
        left = (rest - of_table * table) / dense
        yield from ((of_table, left * factor) for factor in _MORE if of_table > 0 and left > 0)


def _with_shares(
    source: BackboneShape, compression: Compression, table: float, block: float
) -> Planned | None:
    """Every matrix at a share of its numbers; None where one has no form that small."""
    keep = 1.0
    if compression.method == "lada":
        svd = math.sqrt(block) if compression.svd is None else compression.svd
        keep, table, block = block / svd, svd, svd
        if keep > 1:
            return None
    try:
        forms = {TABLE: _form(source, TABLE, compression, table)}
        forms |= {module: _form(source, module, compression, block) for module in LINEARS}
    except ValueError:
        return None
    return _planned(source, compression, forms, keep)


def _planned(
    source: BackboneShape, compression: Compression, forms: Mapping[str, Form], keep: float
) -> Planned:
    shape = replace(source, factorised={name: form.as_dict() for name, form in forms.items()})
    if compression.method == "mpo":
        shape = replace(shape, block_of_step=(0,) * shape.num_hidden_layers, tied="central")
    pruned_away = sum(size - round(keep * size) for size in group_sizes(shape))
    return Planned(
        shape=shape,
        keep=keep,
        parameters=_parameters(shape) - pruned_away,
        source_parameters=_parameters(source),
        flops_per_token=linear_flops(shape, keep),
        source_flops_per_token=linear_flops(source),
    )


def _form(source: BackboneShape, module: str, compression: Compression, share: float) -> Form:
    rows, columns = matrix_shape(module, source)
    budget = math.floor(share * rows * columns)
    if compression.method == "kronecker":
        return _kronecker(rows, columns, budget, module == TABLE)
    if module == TABLE or compression.method == "lada":
        return low_rank_for(rows, columns, budget)
    return _operator(rows, columns, compression.tensors, source.num_hidden_layers, share)


@cache
def _kronecker(rows: int, columns: int, budget: int, is_table: bool) -> Kronecker:
    choose = kronecker_table_for if is_table else kronecker_for
    return choose(rows, columns, budget)


@cache
def _operator(rows: int, columns: int, tensors: int, steps: int, share: float) -> MatrixProduct:
    """The operator of the widest bond whose central tensor and `steps` times the others fit.

    The budget is a share of `steps` dense matrices, in whose place one central tensor and each
    step's auxiliary tensors stand.
    """
    sides = balanced_factors(rows, tensors), balanced_factors(columns, tensors)
    narrow, wide = 0, max(MatrixProduct(*sides).bonds)
    while narrow < wide:
        middle = (narrow + wide + 1) // 2
        form = MatrixProduct(*sides, bond=middle)
        central = math.prod(form.factor_shapes()[form.central])
        if central + steps * (form.count - central) <= share * steps * rows * columns:
            narrow = middle
        else:
            wide = middle - 1
    if not narrow:
        raise ValueError("no bond is that narrow")
    return MatrixProduct(*sides, bond=narrow)


def _parameters(shape: BackboneShape) -> int:
    return sum(weights.learnable for weights in backbone_weights(shape))


def _too_small(source: BackboneShape, compression: Compression) -> UserError:
    total = _parameters(source)
    plans = (_with_shares(source, compression, share, share) for share in _SHARES)
    least = next((planned.parameters for planned in plans if planned is not None), None)
    if least is None:
        return UserError(
            "A matrix has no form that small.",
            where="--svd",
            found=str(compression.svd),
            allowed="a share that leaves every matrix a rank of 1 or more",
            hint="leave --svd out, and both steps cut alike",
        )
    nearest = math.ceil(1000 * least / total) / 1000
    return UserError(
        "The target cannot be met.",
        where="--target",
        found=f"{compression.target:g} of {total:,} parameters",
        allowed=f"{nearest:g} or more by {compression.method}",
        hint="positions, biases and LayerNorms stay as they are",
    )
