"""Reading the form of every matrix from a file, for `compress --forms`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from adapterkit.backbones.factorised.factors import divisor_pairs
from adapterkit.backbones.factorised.forms import (
    Form,
    Kronecker,
    LowRank,
    MatrixProduct,
    form_from,
)
from adapterkit.backbones.factorised.places import TABLE, Sizes, matrix_shape
from adapterkit.backbones.tying import LINEARS
from adapterkit.runs.errors import UserError, nearest
from adapterkit.students.compression import Method
from adapterkit.tasks.yaml_files import Location, read_yaml
from adapterkit.tasks.yaml_models import place

_KEYS: Mapping[str, tuple[str, ...]] = {
    "embeddings": (TABLE,),
    "attention": tuple(name for name in LINEARS if name.startswith("attention.")),
    **{name: (name,) for name in LINEARS},
}
"""What a file may name, and the modules that each stands for; a later one goes before."""
_FORM: Mapping[str, str] = {
    "kronecker": Kronecker.kind,
    "mpo": MatrixProduct.kind,
    "lada": LowRank.kind,
}
_OPEN: Mapping[str, Mapping[str, Any]] = {
    Kronecker.kind: {"terms": 1},
    MatrixProduct.kind: {"bond": None},
    LowRank.kind: {},
}
"""What may be left out of a form."""
_SHOWN = 6


def read_forms(path: Path, method: Method, sizes: Sizes) -> dict[str, Form]:
    """Read the form of every matrix.

    Args:
        path: A YAML file. Its keys are ``embeddings``, ``attention`` (all four of its matrices),
            ``attention.query`` and so on, ``ffn`` and ``ffn_output``; the values are `rows`,
            `columns` and `terms` of Kronecker products, `rows`, `columns` and `bond` of matrix
            product operators, or `rank`.
        method: Decides what forms there are; the embedding table of ``mpo`` has a rank.
        sizes: Of the backbone that is to be compressed.

    Returns:
        The forms by module, the embedding table first.

    Raises:
        UserError: The file cannot be read, lacks a matrix, or a form does not make its matrix.
    """
    values, lines = read_yaml(path, "forms", ", ".join(_KEYS))
    for key in values:
        if key not in _KEYS:
            close = nearest(str(key), _KEYS)
            raise UserError(
                "There is no such matrix.",
                where=place((str(key),), lines, path),
                found=str(key),
                allowed=_KEYS,
                hint=f"did you mean {close}?" if close else None,
            )
    found = {
        module: _form(key, module, values[key], method, sizes, lines, path)
        for key, modules in _KEYS.items()
        if key in values
        for module in modules
    }
    if missing := [module for module in (TABLE, *LINEARS) if module not in found]:
        raise UserError(
            "A matrix has no form.",
            where=str(path),
            found="nothing for " + ", ".join(missing),
            allowed=_KEYS,
            hint="attention stands for all four of its matrices",
        )
    return {module: found[module] for module in (TABLE, *LINEARS)}


def _form(
    key: str,
    module: str,
    given: object,
    method: Method,
    sizes: Sizes,
    lines: Mapping[Location, int],
    path: Path,
) -> Form:
    rows, columns = matrix_shape(module, sizes)
    kind = LowRank.kind if module == TABLE and method == "mpo" else _FORM[method]
    implied = {"rows": rows, "columns": columns} if kind == LowRank.kind else {}
    where = place((key,), lines, path)
    if not isinstance(given, dict):
        raise UserError(
            "A form is keys and values.",
            where=where,
            found=str(given),
            allowed="{rank: 96}" if kind == LowRank.kind else "{rows: [2, 192], columns: [192, 2]}",
        )
    try:
        form = form_from({**_OPEN[kind], **implied, **given, "form": kind})
    except ValueError as error:
        raise UserError(
            f"The form of {module} cannot be used.", where=where, found=str(error)
        ) from error
    if form.shape != (rows, columns):
        raise UserError(
            f"The factors of {module} do not make its matrix.",
            where=where,
            found=f"{form.shape[0]:,} x {form.shape[1]:,}",
            allowed=f"{rows:,} x {columns:,}",
            hint="; ".join(_that_would(given, rows, columns)),
        )
    return form


def _that_would(given: Mapping[str, Any], rows: int, columns: int) -> Iterator[str]:
    """Which factors would make a side that the given ones do not."""
    for name, size in (("rows", rows), ("columns", columns)):
        factors = given.get(name)
        if not isinstance(factors, list) or prod(factors) == size:
            continue
        if len(factors) != 2:
            yield f"{name} have to multiply to {size:,}"
            continue
        near = sorted(divisor_pairs(size), key=lambda pair: abs(pair[0] - factors[0]))[:_SHOWN]
        yield f"{name} could be " + ", ".join(str(list(pair)) for pair in sorted(near))
