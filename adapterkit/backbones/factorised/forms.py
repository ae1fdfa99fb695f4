"""The forms in which a weight matrix is written as fewer numbers: their shapes and costs.

A matrix has the shape (out, in), rows first, as in `torch.nn.Linear`; an embedding table is one of
(vocabulary, width). Nothing here imports torch: the arithmetic lies in the modules beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, TypeAlias

from adapterkit.backbones.factorised.chain import Order, cheapest_order
from adapterkit.backbones.factorised.checking import (
    MAX_DIMENSIONS,
    check_at_most,
    check_size,
    check_sizes,
)

FactorShapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Kronecker:
    """``W = sum_t A_t (x) B_t`` (Tahaei et al., NAACL 2022, KroneckerBERT).

    ``Kronecker(rows=(V, 1), columns=(d // n, n))`` keeps the rows of an embedding table apart, as
    the paper does.

    Args:
        rows: Rows of A and of B; their product is the rows of W.
        columns: Columns of A and of B; their product is the columns of W.
        terms: How many products are summed.

    Raises:
        ValueError: A number is no size, or there are more terms than any matrix needs.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    terms: int = 1
    kind: ClassVar[str] = "kronecker"

    def __post_init__(self) -> None:
        check_sizes("rows", self.rows, range(2, 3))
        check_sizes("columns", self.columns, range(2, 3))
        most = min(self.rows[0] * self.columns[0], self.rows[1] * self.columns[1])
        check_at_most("terms", self.terms, most)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of W."""
        return prod(self.rows), prod(self.columns)

    def factor_shapes(self) -> FactorShapes:
        """``left``: the A, (terms, rows[0], columns[0]); ``right``: the B."""
        return {
            "left": (self.terms, self.rows[0], self.columns[0]),
            "right": (self.terms, self.rows[1], self.columns[1]),
        }

    @property
    def count(self) -> int:
        """Number of parameters."""
        return _count(self.factor_shapes())

    @property
    def rank_bound(self) -> int:
        """The highest rank that W can have."""
        of_a, of_b = (min(self.rows[k], self.columns[k]) for k in (0, 1))
        return min(self.terms * of_a * of_b, *self.shape)

    @property
    def multiply_adds(self) -> tuple[int, int]:
        """Multiply-adds of one vector with B before A, and with A before B."""
        (rows_a, rows_b), (columns_a, columns_b) = self.rows, self.columns
        right_first = columns_a * rows_b * (columns_b + rows_a)
        left_first = rows_a * columns_b * (columns_a + rows_b)
        return self.terms * right_first, self.terms * left_first

    def flops(self, tokens: int) -> int:
        """Operations (two a multiply-add) on `tokens` vectors, in the cheaper order."""
        return 2 * tokens * min(self.multiply_adds)

    def as_dict(self) -> dict[str, object]:
        """The form as JSON values; `form_from` reads it."""
        return {
            "form": self.kind,
            "rows": list(self.rows),
            "columns": list(self.columns),
            "terms": self.terms,
        }


@dataclass(frozen=True)
class MatrixProduct:
    """A matrix product operator of n local tensors (Liu et al., arXiv 2303.16753, MPOBERT).

    Tensor k has the shape ``(d_{k-1}, i_k, j_k, d_k)``. Here i runs over the rows and j over the
    columns. The sizes of the bonds are ``d_k = min(prod_{l<=k} i_l j_l, prod_{l>k} i_l j_l)``,
    capped by `bond`. It saves storage, not work: a forward multiplies W out.

    Args:
        rows: ``i_1, ..., i_n``; their product is the rows of W.
        columns: ``j_1, ..., j_n``; their product is the columns of W.
        bond: The most that a bond may be. Without it W is held exactly.

    Raises:
        ValueError: A number is no size, or rows and columns are not split in equally many.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    bond: int | None = None
    kind: ClassVar[str] = "mpo"

    def __post_init__(self) -> None:
        check_sizes("rows", self.rows, range(2, MAX_DIMENSIONS + 1))
        check_sizes("columns", self.columns, range(2, MAX_DIMENSIONS + 1))
        if len(self.rows) != len(self.columns):
            raise ValueError(
                "rows and columns have to be split in equally many factors, "
                f"not {len(self.rows)} and {len(self.columns)}."
            )
        if self.bond is not None:
            check_size("bond", self.bond)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of W."""
        return prod(self.rows), prod(self.columns)

    @property
    def legs(self) -> tuple[int, ...]:
        """``i_k j_k`` of each tensor."""
        return tuple(i * j for i, j in zip(self.rows, self.columns, strict=True))

    @property
    def bonds(self) -> tuple[int, ...]:
        """``d_0, ..., d_n``, the first and the last being 1."""
        legs = self.legs
        full = [min(prod(legs[:k]), prod(legs[k:])) for k in range(len(legs) + 1)]
        return tuple(full if self.bond is None else [min(d, self.bond) for d in full])

    @property
    def central(self) -> str:
        """Name of the central tensor, which steps may share."""
        return f"tensor{len(self.rows) // 2}"

    def factor_shapes(self) -> FactorShapes:
        """``tensor0`` to ``tensor{n-1}``, each (bond, rows, columns, bond)."""
        sides = zip(self.bonds, self.rows, self.columns, self.bonds[1:], strict=False)
        return {f"tensor{number}": shape for number, shape in enumerate(sides)}

    @property
    def count(self) -> int:
        """Number of parameters."""
        return _count(self.factor_shapes())

    @property
    def order(self) -> Order:
        """The cheapest order in which W is multiplied out."""
        return cheapest_order(self.bonds, self.legs)[1]

    def flops(self, tokens: int) -> int:
        """Operations of multiplying W out once and then the dense product on `tokens` vectors."""
        rows, columns = self.shape
        return 2 * tokens * rows * columns + 2 * cheapest_order(self.bonds, self.legs)[0]

    def as_dict(self) -> dict[str, object]:
        """The form as JSON values; `form_from` reads it."""
        return {
            "form": self.kind,
            "rows": list(self.rows),
            "columns": list(self.columns),
            "bond": self.bond,
        }


@dataclass(frozen=True)
class LowRank:
    """``W = U V`` (Mao et al., arXiv 2004.04124, LadaBERT).

    Args:
        rows: Rows of W.
        columns: Columns of W.
        rank: Columns of U, rows of V.

    Raises:
        ValueError: A number is no size, or the rank is more than a matrix of this shape can have.
    """

    rows: int
    columns: int
    rank: int
    kind: ClassVar[str] = "low_rank"

    def __post_init__(self) -> None:
        check_size("rows", self.rows)
        check_size("columns", self.columns)
        check_at_most("rank", self.rank, min(self.rows, self.columns))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of W."""
        return self.rows, self.columns

    def factor_shapes(self) -> FactorShapes:
        """``left``: U, (rows, rank); ``right``: V, (rank, columns)."""
        return {"left": (self.rows, self.rank), "right": (self.rank, self.columns)}

    @property
    def count(self) -> int:
        """Number of parameters."""
        return _count(self.factor_shapes())

    def flops(self, tokens: int) -> int:
        """Operations (two a multiply-add) of both products on `tokens` vectors."""
        return 2 * tokens * self.count

    def as_dict(self) -> dict[str, object]:
        """The form as JSON values; `form_from` reads it."""
        return {
            "form": self.kind,
            "rows": self.rows,
            "columns": self.columns,
            "rank": self.rank,
        }


Form: TypeAlias = Kronecker | MatrixProduct | LowRank

_FORMS: Mapping[str, tuple[Callable[..., Form], tuple[str, ...]]] = {
    Kronecker.kind: (Kronecker, ("rows", "columns", "terms")),
    MatrixProduct.kind: (MatrixProduct, ("rows", "columns", "bond")),
    LowRank.kind: (LowRank, ("rows", "columns", "rank")),
}


def form_from(values: Mapping[str, object]) -> Form:
    """The form that `as_dict` wrote down; what comes from outside is held to the same rules.

    Raises:
        ValueError: The form is unknown, a key is missing or unknown, or a number is no size.
    """
    kind = values.get("form")
    if not isinstance(kind, str) or kind not in _FORMS:
        raise ValueError(f"form has to be one of {', '.join(_FORMS)}, not {kind!r}.")
    make, keys = _FORMS[kind]
    if missing := [key for key in keys if key not in values]:
        raise ValueError(f"The form {kind} lacks {', '.join(missing)}.")
    if unknown := sorted(str(key) for key in values if key not in (*keys, "form")):
        raise ValueError(f"The form {kind} has no {', '.join(unknown)}; it has {', '.join(keys)}.")
    return make(**{key: _frozen(values[key]) for key in keys})


def _count(shapes: FactorShapes) -> int:
    return sum(prod(shape) for shape in shapes.values())


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
