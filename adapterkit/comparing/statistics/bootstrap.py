"""The paired bootstrap over documents.

Documents, not sentences, are drawn: sentences of a document are alike. A draw takes the same
documents for every run of both rows, and the score of a row is the mean over its seeds.

The p-value is that of the *studentised* (bootstrap-t) test: t = (difference) / (standard error),
compared with |t*| = |difference* - difference| / (standard error*) of each draw. Draws are centred
at the difference found, since they must stand for a world without one, and every draw has its own
standard error, so that t hardly depends on what is not known; these are the two guidelines of
Hall and Wilson (1991), *Two guidelines for bootstrap hypothesis testing*, Biometrics 47. The
standard error is the linear one (delta method; infinitesimal jackknife, Efron 1982): a difference d
of ratios of sums over documents x_i changes by gradient(d) . x_i with document i, so

    se^2 = sum over documents of (gradient(d) . x_i)^2.

The interval is the symmetric one that belongs to the test (Hall 1988, *On symmetric bootstrap
confidence intervals*, JRSS B 50): it holds zero where p is above 0.05. The p-value counts the
sample itself as one draw, (1 + k) / (1 + draws), so that none is zero (Davison and Hinkley 1997,
eq. 4.11). Nor is it below 2^(1 - n), what a sign test says of n documents that all agree: few
documents that happen to be alike have no spread to be measured by.

What it does not measure is whether other seeds would say the same: the runs are taken as they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapterkit.comparing.statistics.difference import Difference
from adapterkit.comparing.statistics.sufficient import (
    Array,
    DocumentStatistics,
    gradient_of,
    score_of,
)

DRAWS = 10_000
_CONFIDENCE = 0.95
_CHUNK = 256

# Five documents that all agree are no evidence at 5 %: 2^(1 - 5) = 0.0625.
_FEWEST_DOCUMENTS = 6

# Below what adding floating-point numbers in another order can change.
_NOTHING = 1e-12


def paired_bootstrap(
    a: Sequence[DocumentStatistics],
    b: Sequence[DocumentStatistics],
    metric: str,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """Compare two rows on the same documents.

    Args:
        a: The runs of one row.
        b: Those of the other, not necessarily as many.
        metric: The metric; see `sufficient.score_of`.
        draws: How often documents are drawn.
        seed: Of the draws. With the same seed, rows are compared on the same draws.

    Returns:
        The difference a - b. Its interval does not leave [-1, 1]. With fewer than six documents
        nothing can be said: p is 1 and the interval is the widest.

    Raises:
        ValueError: There are no runs, no draws, or the runs are not of the same documents.
    """
    _check(a, b, draws)
    pair = _Pair(a, b, metric)
    found, error = _difference_and_error(pair, np.ones((1, pair.documents)))
    if abs(found[0]) < _NOTHING:
        found[0] = 0.0
    mean = float(found[0])
    if pair.documents < _FEWEST_DOCUMENTS:
        return Difference(mean, -1.0, 1.0, 1.0)
    t_found = _t(found, error)[0]
    t_drawn = np.concatenate(
        [
            _t(_centred(drawn - found[0]), errors)
            for weights in np.array_split(_drawn(pair.documents, draws, seed), -(-draws // _CHUNK))
            for drawn, errors in [_difference_and_error(pair, weights.astype(np.float64))]
        ]
    )
    p = (1 + int((t_drawn * (1 + _NOTHING) >= t_found).sum())) / (draws + 1)
    p = max(p, 2.0 ** (1 - pair.documents))
    margin = _margin(t_drawn, float(error[0]))
    return Difference(mean, max(mean - margin, -1.0), min(mean + margin, 1.0), p)


class _Pair:
    """The columns of all runs side by side, and the score of each row from their sums."""

    def __init__(
        self, a: Sequence[DocumentStatistics], b: Sequence[DocumentStatistics], metric: str
    ) -> None:
        self.metric = metric
        self.values = np.concatenate([run.values for run in (*a, *b)], axis=1)
        self.documents = len(self.values)
        self.runs = len(a) + len(b)
        self.weights = np.array([1 / len(a)] * len(a) + [-1 / len(b)] * len(b))

    def difference(self, sums: Array) -> Array:
        """Differences (draws,) from sums (draws, columns of all runs)."""
        return np.asarray(score_of(self.metric, self._by_run(sums)) @ self.weights)

    def gradient(self, sums: Array) -> Array:
        """Derivatives of `difference` by each sum."""
        each = gradient_of(self.metric, self._by_run(sums)) * self.weights[:, None]
        return np.asarray(each).reshape(sums.shape)

    def _by_run(self, sums: Array) -> Array:
        return sums.reshape(len(sums), self.runs, -1)


def _difference_and_error(pair: _Pair, weights: Array) -> tuple[Array, Array]:
    """Differences and their standard errors, from weights (draws, documents)."""
    sums = weights @ pair.values
    influence = pair.gradient(sums) @ pair.values.T
    np.square(influence, out=influence)
    return pair.difference(sums), np.sqrt(np.einsum("ij,ij->i", weights, influence))


def _centred(differences: Array) -> Array:
    return np.where(np.abs(differences) < _NOTHING, 0.0, differences)


def _t(differences: Array, errors: Array) -> Array:
    """|difference| / error; infinite where a difference has no error, zero where there is none."""
    sizes = np.abs(differences)
    known = errors > _NOTHING
    t = np.where(known, sizes, np.inf) / np.where(known, errors, 1.0)
    return np.where((sizes == 0) & ~known, 0.0, t)


def _margin(t_drawn: Array, error: float) -> float:
    """Half the width of the interval that holds the values not refused at 5 %."""
    # The interval holds a value where more than 5 % of 1 + draws are as far away as it.
    refused = int((1 - _CONFIDENCE) * (len(t_drawn) + 1))
    ordered = np.sort(t_drawn)
    if not refused:
        return math.inf
    return float(ordered[-refused]) * error if error > _NOTHING else 0.0


@functools.lru_cache(maxsize=1)
def _drawn(documents: int, draws: int, seed: int) -> NDArray[np.uint8]:
    """How often each document is drawn: array (draws, documents)."""
    generator = np.random.default_rng(seed)
    counts = np.empty((draws, documents), dtype=np.uint8)
    for start in range(0, draws, _CHUNK):
        rows = min(_CHUNK, draws - start)
        drawn = generator.integers(documents, size=(rows, documents))
        drawn += np.arange(rows)[:, None] * documents
        flat = np.bincount(drawn.ravel(), minlength=rows * documents)
        counts[start : start + rows] = flat.reshape(rows, documents)
    return counts


def _check(a: Sequence[DocumentStatistics], b: Sequence[DocumentStatistics], draws: int) -> None:
    if not a or not b:
        raise ValueError("no runs to compare")
    if draws < 1:
        raise ValueError(f"{draws} draws")
    if any(run.documents != a[0].documents for run in (*a, *b)):
        raise ValueError("the runs are not of the same documents in the same order")
    if not a[0].documents:
        raise ValueError("no documents to compare on")
