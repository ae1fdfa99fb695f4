"""One row of the table: a plan, over its seeds."""

from __future__ import annotations

from dataclasses import dataclass

from adapterkit.comparing.records.record import RunRecord
from adapterkit.comparing.statistics.difference import Difference
from adapterkit.comparing.statistics.spread import Spread


@dataclass(frozen=True)
class Inference:
    """How fast a row's models predict, each measured in a process of its own.

    Attributes:
        p50_ms: Median latency of one text at a time, milliseconds.
        p95_ms: Its 95th percentile.
        tokens_per_second: Throughput in batches of ``batch_tokens``.
        batch_tokens: Word pieces of such a batch.
        threads: Processor threads used.
    """

    p50_ms: float
    p95_ms: float
    tokens_per_second: float
    batch_tokens: int
    threads: int


@dataclass(frozen=True)
class Row:
    """A plan on a task and backbone, over its seeds.

    Attributes:
        plan: What adapts each step.
        task: The task's name.
        backbone: The backbone's id.
        seeds: The seeds of ``runs``, in order.
        task_parameters: Parameters that learned in the backbone's place or beside it.
        head_parameters: Parameters of the task's head.
        trainable: All parameters that learned.
        share: ``trainable`` as a share of the backbone and its layer-wise adapters.
        shipped_bytes: Bytes that are shared for this task, the backbone left out.
        score: The task's score on the split of the table.
        difference: To the reference row of the same backbone; None for that row itself, and where
            there is none that can be compared.
        p_holm: The p-value of ``difference`` after Holm's correction for all rows of the table.
        aso_epsilon: Almost stochastic order over seeds: how far the row is from being better than
            the reference throughout; below 0.5 it is almost always better.
        train_seconds: Time of training.
        peak_bytes: Peak memory of the process that trained.
        inference: How fast it predicts, where that was measured.
        best: Whether it is significantly better than every other row; a tie has no best row.
        runs: The runs it is the mean of, in the order of ``seeds``.
        scores: The score of each run, in the order of ``seeds``.
        settings: How its hyper-parameters differ from those of other rows with the same plan; empty
            where they do not.
    """

    plan: str
    task: str
    backbone: str
    seeds: tuple[int, ...]
    task_parameters: int
    head_parameters: int
    trainable: int
    share: float
    shipped_bytes: int
    score: Spread
    difference: Difference | None
    p_holm: float | None
    aso_epsilon: float | None
    train_seconds: Spread
    peak_bytes: Spread
    inference: Inference | None
    best: bool
    runs: tuple[RunRecord, ...]
    scores: tuple[float, ...] = ()
    settings: str = ""
