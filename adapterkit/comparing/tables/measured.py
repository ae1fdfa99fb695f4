"""Reading how fast a run predicts, where that was measured."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence

from adapterkit.comparing.records.record import RunRecord
from adapterkit.comparing.tables.row import Inference

INFERENCE_FILE = "inference.json"


def read_inference(record: RunRecord) -> Inference | None:
    """Read a run's ``inference.json``; None where there is none that can be read."""
    try:
        content = json.loads((record.path / INFERENCE_FILE).read_text(encoding="utf-8"))
        return Inference(
            p50_ms=float(content["p50_ms"]),
            p95_ms=float(content["p95_ms"]),
            tokens_per_second=float(content["tokens_per_second"]),
            batch_tokens=int(content["batch_tokens"]),
            threads=int(content["threads"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def mean_inference(runs: Sequence[RunRecord]) -> Inference | None:
    """The mean of the runs of a row that were measured as the first of them was."""
    known = [found for run in runs if (found := read_inference(run)) is not None]
    if not known:
        return None
    first = known[0]
    alike = [k for k in known if (k.batch_tokens, k.threads) == (first.batch_tokens, first.threads)]
    return Inference(
        p50_ms=statistics.fmean(k.p50_ms for k in alike),
        p95_ms=statistics.fmean(k.p95_ms for k in alike),
        tokens_per_second=statistics.fmean(k.tokens_per_second for k in alike),
        batch_tokens=first.batch_tokens,
        threads=first.threads,
    )
