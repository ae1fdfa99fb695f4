"""Differences between the rows of a table, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapterkit.comparing.records.record import RunRecord, ScoredSplit
from adapterkit.comparing.statistics.bootstrap import paired_bootstrap
from adapterkit.comparing.statistics.difference import Difference
from adapterkit.comparing.statistics.holm import holm
from adapterkit.comparing.statistics.sufficient import DocumentStatistics, document_statistics

LEVEL = 0.05
"""Below it a p-value, corrected for the number of comparisons, is called significant."""


class Contrasts:
    """Compares rows on the predictions of their runs.

    Args:
        split: The split.
        draws: Draws of each bootstrap.

    Attributes:
        split: The split.
    """

    def __init__(self, split: ScoredSplit, draws: int) -> None:
        self.split: ScoredSplit = split
        self._draws = draws
        self._statistics: dict[Path, DocumentStatistics] = {}

    def difference(self, row: Sequence[RunRecord], other: Sequence[RunRecord]) -> Difference | None:
        """The difference of two rows; None where they were not scored on the same documents.

        Runs under protocol ``nlpie`` are not compared either: their predictions do not keep the
        invalid tags that the protocol counts.
        """
        runs = (*row, *other)
        if any(run.manifest.protocol == "nlpie" for run in runs) or not self._same_split(runs):
            return None
        statistics = [self.of(run) for run in runs]
        if any(found.documents != statistics[0].documents for found in statistics):
            return None
        metric = runs[0].task.metric
        cut = len(row)
        return paired_bootstrap(statistics[:cut], statistics[cut:], metric, self._draws)

    def of(self, run: RunRecord) -> DocumentStatistics:
        """What each document adds to the score of a run."""
        if run.path not in self._statistics:
            predictions = run.predictions(self.split)
            self._statistics[run.path] = document_statistics(run.task, predictions)
        return self._statistics[run.path]

    def beats_all(self, row: Sequence[RunRecord], others: Sequence[Sequence[RunRecord]]) -> bool:
        """Whether a row is significantly better than each of some others, after Holm's correction.

        Args:
            row: The runs of the row with the highest score.
            others: Those of the others, the highest scores first, since those are likely ties.
        """
        p_values: list[float] = []
        for other in others:
            found = self.difference(row, other)
            if found is None or found.mean <= 0 or found.p >= LEVEL:
                return False
            p_values.append(found.p)
        return bool(p_values) and max(holm(p_values)) < LEVEL

    def _same_split(self, runs: Sequence[RunRecord]) -> bool:
        records = [run.manifest.data.splits[self.split] for run in runs]
        return all(record.sha256 == records[0].sha256 for record in records)
