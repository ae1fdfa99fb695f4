"""The scores that a package tells, over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from adapterkit.runs.manifest import RunManifest
from adapterkit.sharing.manifest import Score, Seed


def seed_of(manifest: RunManifest) -> Seed:
    """What a package tells of a run."""
    scores = {split: float(measures["score"]) for split, measures in manifest.metrics.items()}
    return Seed(seed=manifest.seed, run=manifest.digest, scores=scores)


def score_over(seeds: Sequence[Seed], split: str) -> Score:
    """Mean and standard deviation of a split's score over seeds."""
    scores = [seed.scores[split] for seed in seeds]
    sd = statistics.stdev(scores) if len(scores) > 1 else None
    return Score(mean=statistics.fmean(scores), sd=sd, n=len(scores))
