"""Timing inference in a process of its own: ``python -m adapterkit.comparing.measuring RUN``.

Latency is that of one text at a time: its words or text are cut into word pieces, the model reads
them and its outputs are turned into predictions. Throughput is that of the model and its batches
alone, in word pieces a second, padding not counted. Both are on dev, in float32 on the processor.
"""

from __future__ import annotations

import argparse
import functools
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterkit.runs.atomic import write_json
from adapterkit.runs.environment import hardware, peak_memory_bytes, versions
from adapterkit.runs.errors import UserError
from adapterkit.tasks.sources import load_data

if TYPE_CHECKING:
    from adapterkit.tasks.examples import Example
    from adapterkit.tuning.reloading import LoadedRun

INFERENCE_FILE = "inference.json"
SCHEMA = "adapterkit.inference.v1"

_WARM_UP = 20
_TEXTS = 100
_PIECES = 10_000
_ROUNDS = 3


@dataclass(frozen=True)
class Measured:
    """What inference with a run takes.

    Attributes:
        p50_ms: Median milliseconds for one text.
        p95_ms: The 95th percentile of the same.
        tokens_per_second: Word pieces read, padding not counted; the median of some rounds.
        batch_tokens: Most word pieces of a batch, padding included, at that.
        threads: Processor threads.
        peak_bytes: Most resident memory of the process, loading the run included.
        texts: Texts that were timed one at a time.
        pieces: Word pieces of a round.
    """

    p50_ms: float
    p95_ms: float
    tokens_per_second: float
    batch_tokens: int
    threads: int
    peak_bytes: int
    texts: int
    pieces: int


def measure(run: str | Path, threads: int = 1, texts: int = _TEXTS) -> Measured:
    """Load a run and time it; only in a process that does nothing else is the memory its own.

    Args:
        run: The run directory.
        threads: Processor threads.
        texts: Texts to time one at a time.

    Raises:
        UserError: The run, its backbone or its data are missing or damaged.
    """
    import torch

    from adapterkit.backbones.fusing import fuse_updates
    from adapterkit.tuning.evaluation import evaluation_tokens
    from adapterkit.tuning.reloading import load_run

    torch.set_num_threads(threads)
    loaded = load_run(run)
    model = loaded.applied.model
    with torch.no_grad():
        fuse_updates(model)
    examples = _examples(loaded)
    latencies = _latencies(loaded, examples[:texts])
    pieces, rate = _throughput(loaded, examples)
    return Measured(
        p50_ms=round(_percentile(latencies, 50), 3),
        p95_ms=round(_percentile(latencies, 95), 3),
        tokens_per_second=round(rate, 1),
        batch_tokens=evaluation_tokens(model),
        threads=threads,
        peak_bytes=peak_memory_bytes(),
        texts=len(latencies),
        pieces=pieces,
    )


def write_measured(run: str | Path, measured: Measured, command: str) -> Path:
    """Write ``inference.json`` beside a run's results, and return its path."""
    path = Path(run) / INFERENCE_FILE
    write_json(
        path,
        {
            "schema": SCHEMA,
            **asdict(measured),
            "device": "cpu",
            "split": "dev",
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": command,
            "versions": versions(),
            "hardware": hardware(),
        },
    )
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Time a run and write ``inference.json`` into its directory; returns the exit status."""
    parser = argparse.ArgumentParser(prog="adapterkit.comparing.measuring")
    parser.add_argument("run", type=Path, help="the run directory")
    parser.add_argument("--threads", type=int, default=1, help="processor threads to use")
    parser.add_argument("--texts", type=int, default=_TEXTS, help="texts to time one at a time")
    options = parser.parse_args(arguments)
    command = f"python -m adapterkit.comparing.measuring {options.run} --threads {options.threads}"
    try:
        write_measured(options.run, measure(options.run, options.threads, options.texts), command)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def _examples(loaded: LoadedRun) -> list[Example]:
    """The run's dev examples, shuffled the same way every time."""
    record = loaded.manifest.data
    is_named = record.source in ("sample", "hub")
    place = record.source if is_named else record.location
    source = place if is_named or Path(place).is_dir() else "auto"
    examples = list(load_data(loaded.task, source, ("dev",)).splits["dev"])
    random.Random(0).shuffle(examples)
    return examples


def _latencies(loaded: LoadedRun, examples: Sequence[Example]) -> list[float]:
    """Milliseconds that each text takes by itself."""
    from adapterkit.tuning.evaluation import evaluation_split, predict_split

    def read(example: Example) -> None:
        tokenizer, longest = loaded.backbone.tokenizer, loaded.max_length
        split = evaluation_split(loaded.task, [example], tokenizer, longest, _protocol(loaded))
        predict_split(loaded.applied.model, split)

    for example in examples[:_WARM_UP]:
        read(example)
    return [1000 * _seconds(functools.partial(read, example)) for example in examples]


def _throughput(loaded: LoadedRun, examples: Sequence[Example]) -> tuple[int, float]:
    """Word pieces of a round, and how many are read in a second in the median one."""
    from adapterkit.tuning.evaluation import evaluation_split, predict_logits

    tokenizer, longest = loaded.backbone.tokenizer, loaded.max_length
    count, pieces, split = 0, 0, None
    while split is None or (pieces < _PIECES and count < len(examples)):
        count = min(len(examples), 2 * count or 50)
        split = evaluation_split(
            loaded.task, examples[:count], tokenizer, longest, _protocol(loaded)
        )
        pieces = sum(len(window.input_ids) for window in split.encoded.windows)
    rounds = [_seconds(lambda: predict_logits(loaded.applied.model, split)) for _ in range(_ROUNDS)]
    return pieces, pieces / statistics.median(rounds)


def _protocol(loaded: LoadedRun) -> Any:
    return loaded.manifest.protocol


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _percentile(values: Sequence[float], percent: float) -> float:
    import numpy as np

    return float(np.percentile(values, percent))


if __name__ == "__main__":
    sys.exit(main())
