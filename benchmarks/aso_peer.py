"""Almost stochastic order by another library, for `adapterkit.comparing` to be tested against.

    pip install deepsig==1.2.8
    python benchmarks/aso_peer.py

Writes ``tests/comparing/statistics/deepsig.json``: pairs of samples of scores, and what deepsig
says of each. It needs nothing of adapterkit, so it can be run in an environment of its own.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
from deepsig import aso
from deepsig.aso import compute_violation_ratio

OUTPUT = Path(__file__).parents[1] / "tests" / "comparing" / "statistics" / "deepsig.json"
SIZES = ((5, 5), (5, 3), (8, 12), (20, 20))
GAPS = (0.0, 0.003, -0.006)
DRAWS = 500


def main() -> None:
    """Compare samples of several sizes, whose means differ by more or less than their spread."""
    generator = np.random.default_rng(0)
    pairs = []
    for count_a, count_b in SIZES:
        for gap in GAPS:
            a = np.round(generator.normal(0.8 + gap, 0.005, count_a), 4)
            b = np.round(generator.normal(0.8, 0.005, count_b), 4)
            bound = aso(a, b, num_bootstrap_iterations=DRAWS, show_progress=False, seed=0)
            pairs.append(
                {
                    "a": a.tolist(),
                    "b": b.tolist(),
                    "violation_ratio": float(compute_violation_ratio(a, b, dt=0.0001)),
                    "epsilon_min": float(bound),
                }
            )
    record = {"deepsig": importlib.metadata.version("deepsig"), "draws": DRAWS, "pairs": pairs}
    OUTPUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
