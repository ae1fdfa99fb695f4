"""How often the paired bootstrap calls a tie a difference.

    python benchmarks/calibration.py

A p-value is calibrated if p < 0.05 in 5 % of ties. Every case below simulates rows whose scores
are the same on endlessly many documents, 2,000 times over, and counts. Beside our test stands the
plain percentile bootstrap on the same trials, to show what studentising is for. The last case is no
tie of the kind that the test is about: its seeds differ in skill, which resampling documents does
not see.

Written after each case are ``results/calibration.json`` and the same as a page,
``results/calibration.md``. One processor; a few minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from recording import machine, new_record, write_record, write_text
from simulated_ties import Tagger, as_good_as, expected_f1, labelled, tagged

from adapterkit.comparing.statistics.bootstrap import DRAWS, paired_bootstrap
from adapterkit.comparing.statistics.sufficient import DocumentStatistics, score_of
from adapterkit.runs.environment import hardware, versions

Runs = list[DocumentStatistics]
Simulation = Callable[[np.random.Generator], tuple[Runs, Runs]]

_LEVEL = 0.05
_TOLERANCE = 0.015
_PLAIN_DRAWS = 2_000
_MIDDLING = Tagger(find=1.6, accept=-0.5)
_SEED_SD = 0.03
_LABELS = tuple(np.geomspace(0.04, 0.3, 10))


@dataclass(frozen=True)
class Case:
    """A kind of tie.

    Attributes:
        name: What it is, in words.
        metric: What is compared.
        simulate: Makes the runs of two rows.
        held: Whether the test is meant to hold its level here.
    """

    name: str
    metric: str
    simulate: Simulation
    held: bool = True


def _alike(documents: int, mentions: float, seeds: int) -> Simulation:
    def simulate(generator: np.random.Generator) -> tuple[Runs, Runs]:
        runs = tagged(generator, [_MIDDLING] * (2 * seeds), documents, mentions)
        return runs[:seeds], runs[seeds:]

    return simulate


def _cautious_and_bold(documents: int, mentions: float) -> Simulation:
    bold = as_good_as(_MIDDLING, find=2.6)

    def simulate(generator: np.random.Generator) -> tuple[Runs, Runs]:
        cautious_run, bold_run = tagged(generator, [_MIDDLING, bold], documents, mentions)
        return [cautious_run], [bold_run]

    return simulate


def _labels(documents: int, seeds: int) -> Simulation:
    def simulate(generator: np.random.Generator) -> tuple[Runs, Runs]:
        runs = labelled(generator, 2 * seeds, documents, _LABELS)
        return runs[:seeds], runs[seeds:]

    return simulate


def _seeds_that_differ(documents: int, mentions: float, seeds: int) -> Simulation:
    def simulate(generator: np.random.Generator) -> tuple[Runs, Runs]:
        shifts = generator.normal(0, _SEED_SD, 2 * seeds)
        taggers = [Tagger(_MIDDLING.find + s, _MIDDLING.accept - s) for s in shifts]
        runs = tagged(generator, taggers, documents, mentions)
        return runs[:seeds], runs[seeds:]

    return simulate


CASES = (
    Case("100 documents of 10 mentions, one seed", "strict_f1", _alike(100, 10, 1)),
    Case("100 documents of 10 mentions, five seeds", "strict_f1", _alike(100, 10, 5)),
    Case(
        "100 documents of 10 mentions, one seed; the same F1 from more recall and less precision",
        "strict_f1",
        _cautious_and_bold(100, 10),
    ),
    Case("500 documents of 20 mentions, five seeds", "strict_f1", _alike(500, 20, 5)),
    Case("300 documents of ten labels, one seed", "macro_f1", _labels(300, 1)),
    Case(
        "100 documents of 10 mentions, five seeds that differ in skill",
        "strict_f1",
        _seeds_that_differ(100, 10, 5),
        held=False,
    ),
)


def percentile_p(a: Runs, b: Runs, metric: str, counts: NDArray[np.float64]) -> float:
    """The p-value of the plain percentile bootstrap, for comparison only.

    Args:
        a: Runs of one row.
        b: Runs of the other.
        metric: What is compared.
        counts: How often each draw takes each document: array (draws, documents).
    """

    def score(runs: Runs) -> NDArray[np.float64]:
        return np.mean([score_of(metric, counts @ run.values) for run in runs], axis=0)

    drawn = score(a) - score(b)
    return float(min(1.0, 2 * min((drawn <= 0).mean(), (drawn >= 0).mean())))


def examine(case: Case, trials: int, seed: int) -> dict[str, Any]:
    """Simulate a kind of tie many times and count how often each test refuses it."""
    started = time.process_time()
    generator = np.random.default_rng(seed)
    counts: NDArray[np.float64] | None = None
    p_values, plain, covered, scores = [], [], [], []
    for _ in range(trials):
        a, b = case.simulate(generator)
        if counts is None:
            documents = len(a[0].documents)
            even = np.full(documents, 1 / documents)
            counts = generator.multinomial(documents, even, _PLAIN_DRAWS).astype(np.float64)
        found = paired_bootstrap(a, b, case.metric)
        p_values.append(found.p)
        covered.append(found.low <= 0 <= found.high)
        plain.append(percentile_p(a, b, case.metric, counts))
        scores += [float(score_of(case.metric, run.sums)) for run in (*a, *b)]
    rate = float(np.mean(np.array(p_values) < _LEVEL))
    return {
        "case": case.name,
        "metric": case.metric,
        "held": case.held,
        "trials": trials,
        "draws": DRAWS,
        "seed": seed,
        "mean_score": float(np.mean(scores)),
        "below_0.05": rate,
        "below_0.01": float(np.mean(np.array(p_values) < 0.01)),
        "below_0.10": float(np.mean(np.array(p_values) < 0.10)),
        "interval_holds_zero": float(np.mean(covered)),
        "percentile_below_0.05": float(np.mean(np.array(plain) < _LEVEL)),
        "calibrated": abs(rate - _LEVEL) < _TOLERANCE + 1e-9 if case.held else None,
        "cpu_seconds": time.process_time() - started,
    }


def page(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = [
        "# How often the paired bootstrap calls a tie a difference",
        "",
        f"Commit `{record['commit'][:10]}`, {record['date']}, {machine(record)}. "
        f"{DRAWS:,} draws of documents; 5 % ± 1.5 % is called calibrated.",
        "",
        "| tie | metric | trials | p < 0.01 | **p < 0.05** | p < 0.10 | percentile bootstrap, "
        "p < 0.05 | calibrated |",
        "|---|---|---:|---:|---:|---:|---:|---|",
        *(_line(run) for run in record["runs"]),
        "",
        "The last kind is no tie between the runs at hand: their seeds differ in skill (their "
        f"expected F1 has a standard deviation of {_f1_sd():.4f}). A bootstrap over documents asks "
        "whether *these runs* differ on other documents, not whether other seeds would; that is "
        "what the standard deviation over seeds and almost stochastic order in the table are for.",
        "",
        "Made by:",
        "",
        f"    {record['command']}",
    ]
    return "\n".join(lines) + "\n"


def _f1_sd() -> float:
    """What `_SEED_SD` makes of the expected F1, to first order."""
    up, down = (
        expected_f1(Tagger(_MIDDLING.find + s, _MIDDLING.accept - s)) for s in (_SEED_SD, -_SEED_SD)
    )
    return (up - down) / 2


def _line(run: dict[str, Any]) -> str:
    verdict = {True: "yes", False: "**no**", None: "not held to it"}[run["calibrated"]]
    return (
        f"| {run['case']} | {run['metric']} | {run['trials']:,} | {run['below_0.01']:.1%} "
        f"| **{run['below_0.05']:.1%}** | {run['below_0.10']:.1%} "
        f"| {run['percentile_below_0.05']:.1%} | {verdict} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Examine every kind of tie and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    output = Path(__file__).parent / "results" / "calibration.json"
    parser.add_argument("--output", type=Path, default=output)
    chosen = parser.parse_args(arguments)
    record = {**new_record(), "hardware": hardware(), "versions": versions()}
    for number, case in enumerate(CASES):
        found = examine(case, chosen.trials, chosen.seed + number)
        record["runs"].append(found)
        print(f"{found['below_0.05']:.1%}  {case.name}", flush=True)
        write_record(chosen.output, record)
        write_text(chosen.output.with_suffix(".md"), page(record))


if __name__ == "__main__":
    main()
