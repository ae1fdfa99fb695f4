from __future__ import annotations

import numpy as np
import pytest

from adapterkit.comparing.statistics.bootstrap import paired_bootstrap
from adapterkit.comparing.statistics.sufficient import DocumentStatistics, score_of


def statistics(values):
    values = np.asarray(values, dtype=float)
    return DocumentStatistics(tuple(map(str, range(len(values)))), values)


def simulated(generator, documents, chance, gold=None):
    """A system that finds each mention by a chance that differs from document to document."""
    if gold is None:
        gold = generator.poisson(8, documents) + 1
    right = generator.binomial(gold, np.clip(chance, 0, 1))
    wrong = generator.poisson(0.2 * gold)
    return statistics(np.stack([right, right + wrong, gold], axis=1))


def written_out(a, b, draws, seed):
    """The test as its docstring describes it, one draw and one document at a time."""

    def difference(rows):
        scores = [
            np.mean([score_of("strict_f1", sum(run.values[i] for i in rows)) for run in side])
            for side in (a, b)
        ]
        return scores[0] - scores[1]

    def slope(rows, changed):
        """How the difference changes with a document's weight, by finite differences."""
        step = 1e-5
        values = []
        for sign in (1, -1):
            scores = []
            for side in (a, b):
                sums = [
                    sum(r.values[i] for i in rows) + sign * step * r.values[changed] for r in side
                ]
                scores.append(np.mean([score_of("strict_f1", s) for s in sums]))
            values.append(scores[0] - scores[1])
        return (values[0] - values[1]) / (2 * step)

    def error(rows):
        slopes = {i: slope(rows, i) for i in set(rows)}
        return np.sqrt(sum(slopes[i] ** 2 for i in rows))

    count = len(a[0].documents)
    everything = list(range(count))
    found = difference(everything)
    t = abs(found) / error(everything)
    generator = np.random.default_rng(seed)
    t_drawn = []
    for rows in generator.integers(count, size=(draws, count)).tolist():
        t_drawn.append(abs(difference(rows) - found) / error(rows))
    p = (1 + sum(other >= t for other in t_drawn)) / (draws + 1)
    return found, p, sorted(t_drawn)[-int(0.05 * (draws + 1))] * error(everything)


def test_it_is_what_it_says_it_is():
    generator = np.random.default_rng(5)
    gold = generator.poisson(8, 15) + 1
    a = [simulated(generator, 15, 0.9, gold) for _ in range(2)]
    b = [simulated(generator, 15, 0.8, gold) for _ in range(3)]
    # Draws come in chunks of 256, each one call of the generator, as here.
    mean, p, margin = written_out(a, b, draws=199, seed=7)
    found = paired_bootstrap(a, b, "strict_f1", draws=199, seed=7)
    assert found.mean == pytest.approx(mean)
    assert found.p == pytest.approx(p)
    assert found.high - found.mean == pytest.approx(margin, rel=1e-5)
    assert found.mean - found.low == pytest.approx(margin, rel=1e-5)


def test_the_same_predictions_are_a_tie():
    run = simulated(np.random.default_rng(0), 40, 0.8)
    found = paired_bootstrap([run], [run], "strict_f1", draws=200)
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_seeds_in_another_order_are_the_same():
    generator = np.random.default_rng(0)
    gold = generator.poisson(8, 40) + 1
    runs = [simulated(generator, 40, 0.8, gold) for _ in range(3)]
    found = paired_bootstrap(runs, runs[::-1], "strict_f1", draws=200)
    assert found.mean == 0
    assert found.p == 1


def test_a_clear_difference_is_found_in_its_direction():
    generator = np.random.default_rng(0)
    gold = generator.poisson(8, 100) + 1
    good, bad = (simulated(generator, 100, chance, gold) for chance in (0.9, 0.6))
    found = paired_bootstrap([good], [bad], "strict_f1", draws=999)
    assert found.p == 0.001
    assert 0 < found.low < found.mean < found.high
    back = paired_bootstrap([bad], [good], "strict_f1", draws=999)
    assert (back.mean, back.low, back.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_the_interval_holds_zero_where_p_is_above_the_level():
    generator = np.random.default_rng(1)
    for _ in range(30):
        gold = generator.poisson(8, 30) + 1
        a, b = (simulated(generator, 30, chance, gold) for chance in (0.85, 0.8))
        found = paired_bootstrap([a], [b], "strict_f1", draws=399)
        assert (found.low <= 0 <= found.high) == (found.p > 0.05)


def test_one_document_that_differs_is_no_evidence():
    same = np.tile([8.0, 9.0, 9.0], (50, 1))
    other = same.copy()
    other[0] = [0, 9, 9]
    found = paired_bootstrap([statistics(same)], [statistics(other)], "strict_f1", draws=999)
    assert found.mean > 0
    assert found.p > 0.3
    assert found.low <= 0


def test_few_documents_say_nothing():
    good, bad = ([[9.0, 9.0, 9.0]] * 5, [[0.0, 9.0, 9.0]] * 5)
    found = paired_bootstrap([statistics(good)], [statistics(bad)], "strict_f1", draws=200)
    assert (found.mean, found.low, found.high, found.p) == (1, -1, 1, 1)


def test_documents_that_all_agree_are_as_sure_as_a_sign_test():
    good, bad = ([[9.0, 9.0, 9.0]] * 8, [[0.0, 9.0, 9.0]] * 8)
    found = paired_bootstrap([statistics(good)], [statistics(bad)], "strict_f1", draws=9999)
    assert found.p == 2.0**-7


def test_more_draws_than_a_chunk_are_all_used():
    run = simulated(np.random.default_rng(0), 10, 0.8)
    other = simulated(np.random.default_rng(1), 10, 0.8)
    found = paired_bootstrap([run], [other], "strict_f1", draws=777)
    assert found.p * 778 == pytest.approx(round(found.p * 778))


@pytest.mark.parametrize(
    ("a", "b", "draws", "words"),
    [
        ([], [[1.0, 1.0, 1.0]], 10, "no runs"),
        ([[1.0, 1.0, 1.0]], [[1.0, 1.0, 1.0]], 0, "0 draws"),
        ([[1.0, 1.0, 1.0]], [[1.0, 1.0, 1.0]] * 2, 10, "same documents"),
        ([[]], [[]], 10, "no documents"),
    ],
)
def test_what_cannot_be_compared(a, b, draws, words):
    def side(rows):
        values = np.zeros((0, 3)) if rows == [[]] else rows
        return [statistics(values)] if rows else []

    with pytest.raises(ValueError, match=words):
        paired_bootstrap(side(a), side(b), "strict_f1", draws)


def test_ties_are_called_a_difference_as_often_as_it_says():
    """A small form of ``benchmarks/calibration.py``; 300 trials give 5 % with an error of 1.3."""
    generator = np.random.default_rng(3)
    trials = 300
    below = 0
    for _ in range(trials):
        gold = generator.poisson(8, 60) + 1
        chance = generator.beta(8, 2, 60)
        a, b = (simulated(generator, 60, chance, gold) for _ in range(2))
        below += paired_bootstrap([a], [b], "strict_f1", draws=999).p < 0.05
    assert 0.02 <= below / trials <= 0.085
