"""Which forms a matrix can have within a budget of parameters, and which of them to take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from adapterkit.backbones.factorised.factors import divisor_pairs
from adapterkit.backbones.factorised.forms import Kronecker, LowRank

MOST_TERMS = 8
"""Most Kronecker products that are summed to use a budget up."""

FILLED = 0.8
"""Part of the budget that a form has to use before cheapness decides."""


def kronecker_candidates(rows: int, columns: int, budget: int) -> tuple[Kronecker, ...]:
    """The Kronecker forms of a matrix, of up to `MOST_TERMS` terms, that use most of a budget.

    Args:
        rows: Rows of the matrix.
        columns: Columns of the matrix.
        budget: Parameters that the form may have; it has at least `FILLED` of them, unless none
            does: then these are the forms of most parameters below the budget.

    Returns:
        Those first whose W can have the highest rank; of them the cheapest first, by operations on
        a vector, then by the number of terms, then by how little of the budget they leave.

    Raises:
        ValueError: No form is small enough; the smallest budget that one meets is named.
    """
    pairs = list(product(divisor_pairs(rows), divisor_pairs(columns)))
    forms = [form for pair in pairs for form in _sums(*pair, budget)]
    if not forms:
        smallest = min(Kronecker(*pair).count for pair in pairs)
        raise _too_small("Kronecker form", rows, columns, budget, smallest)
    return tuple(sorted(_filling(forms, budget), key=_preference))


def kronecker_for(rows: int, columns: int, budget: int) -> Kronecker:
    """The first of `kronecker_candidates`: of full rank if possible, then the cheapest.

    The rule is ours: the paper names its shapes, not how they were found. Without the rank the
    cheapest would be a form such as ``rows=(1, m)``, which is a low-rank product under constraints
    and loses what a Kronecker product has over one. Among forms of one size the operations differ
    far more than the distances to trained weights; where the weights are at hand, compare the
    errors of the candidates.

    Raises:
        ValueError: No form is small enough; the smallest budget that one meets is named.
    """
    return kronecker_candidates(rows, columns, budget)[0]


def kronecker_table_for(rows: int, columns: int, budget: int) -> Kronecker:
    """The Kronecker form that keeps the rows of a table apart, as KroneckerBERT's embeddings are.

    ``A`` is (rows, columns / n) and ``B`` (1, n). Of the forms that use at least `FILLED` of the
    budget, or else of those that use most, the one of fewest terms, then of most parameters.

    Raises:
        ValueError: No n is enough; the smallest budget that one meets is named.
    """
    sides = [((rows, 1), pair) for pair in divisor_pairs(columns)]
    forms = [form for side in sides for form in _sums(*side, budget)]
    if not forms:
        smallest = min(Kronecker(*side).count for side in sides)
        raise _too_small("row-preserving Kronecker form", rows, columns, budget, smallest)
    return min(_filling(forms, budget), key=lambda form: (form.terms, -form.count))


def low_rank_for(rows: int, columns: int, budget: int) -> LowRank:
    """The low-rank product of the highest rank within a budget.

    Raises:
        ValueError: Rank 1 is too many parameters; how many they are is named.
    """
    rank = min(budget // (rows + columns), rows, columns)
    if rank < 1:
        raise _too_small("low-rank form", rows, columns, budget, rows + columns)
    return LowRank(rows, columns, rank)


def _sums(rows: tuple[int, int], columns: tuple[int, int], budget: int) -> Iterator[Kronecker]:
    most = min(rows[0] * columns[0], rows[1] * columns[1], MOST_TERMS)
    each = Kronecker(rows, columns).count
    for terms in range(1, min(most, budget // each) + 1):
        yield Kronecker(rows, columns, terms)


def _filling(forms: Sequence[Kronecker], budget: int) -> list[Kronecker]:
    least = min(FILLED * budget, max(form.count for form in forms))
    return [form for form in forms if form.count >= least]


def _preference(form: Kronecker) -> tuple[object, ...]:
    return -form.rank_bound, form.flops(1), form.terms, -form.count, form.rows, form.columns


def _too_small(form: str, rows: int, columns: int, budget: int, smallest: int) -> ValueError:
    return ValueError(
        f"No {form} of a {rows} x {columns} matrix has {budget:,} parameters or fewer; "
        f"the smallest has {smallest:,}."
    )
