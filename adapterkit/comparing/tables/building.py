"""From runs to tables: grouping, means, differences, what is best."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adapterkit.comparing.records.left_out import LeftOut
from adapterkit.comparing.records.mixing import check_comparable
from adapterkit.comparing.records.record import RunRecord, ScoredSplit
from adapterkit.comparing.statistics.bootstrap import DRAWS
from adapterkit.comparing.statistics.holm import holm
from adapterkit.comparing.statistics.spread import spread
from adapterkit.comparing.statistics.stochastic_order import epsilon_min
from adapterkit.comparing.tables.contrasts import Contrasts
from adapterkit.comparing.tables.grouping import Group, group_runs
from adapterkit.comparing.tables.measured import mean_inference
from adapterkit.comparing.tables.notes import table_notes
from adapterkit.comparing.tables.reference import find_reference
from adapterkit.comparing.tables.row import Row
from adapterkit.comparing.tables.table import Table
from adapterkit.runs.errors import UserError
from adapterkit.runs.progress import Progress, Silence

DEFAULT_REFERENCE = "full"


@dataclass(frozen=True)
class _Asked:
    split: ScoredSplit
    draws: int
    reference: str
    notes: tuple[str, ...]


def build_tables(
    records: Sequence[RunRecord],
    left_out: Sequence[LeftOut] = (),
    *,
    split: ScoredSplit = "test",
    draws: int = DRAWS,
    reference: str | None = None,
    allow: Collection[str] = (),
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Table]:
    """Make a table of each task.

    Args:
        records: Runs that can be relied on; see `records.reading.read_runs`.
        left_out: Those that cannot.
        split: The split whose scores are compared.
        draws: Draws of documents for each difference.
        reference: The plan that differences are to, by default `full`.
        allow: What may differ between rows; see `records.mixing.check_comparable`.
        notes: What readers of every table must know, such as how hyper-parameters were chosen.
        progress: Told how it goes.

    Raises:
        UserError: The runs may not be mixed; `reference` is no plan, or one that was asked for and
            that no run has.
    """
    check_comparable(records, allow)
    asked = _Asked(split, draws, reference or DEFAULT_REFERENCE, tuple(notes))
    tasks = list(dict.fromkeys(record.manifest.task for record in records))
    tables = []
    progress = progress or Silence()
    progress.begin("comparing tasks", len(tasks))
    for task in tasks:
        runs = [record for record in records if record.manifest.task == task]
        others = [item for item in left_out if item.task == task or item.task not in tasks]
        tables.append(_table(runs, others, asked))
        progress.advance()
    if reference is not None and records and all(table.reference is None for table in tables):
        raise _no_reference(reference, records)
    return tables


def _table(runs: Sequence[RunRecord], left_out: Sequence[LeftOut], asked: _Asked) -> Table:
    contrasts = Contrasts(asked.split, asked.draws)
    groups = group_runs(runs)
    references = {b: find_reference(_of(groups, b), asked.reference) for b in _backbones(groups)}
    names = _backbone_names(runs)
    rows = [_row(group, asked.split, names[_backbone(group)]) for group in groups]
    compared = [
        _compared(row, references[_backbone(group)], contrasts)
        for row, group in zip(rows, groups, strict=True)
    ]
    ordered = sorted(_with_best(_corrected(compared), contrasts), key=_size)
    first = runs[0].manifest
    reference = next((g.runs[0].manifest.plan for g in references.values() if g), None)
    table = Table(
        task=first.task,
        metric=str(first.metrics[asked.split]["metric"]),
        protocol=_joined(run.manifest.protocol for run in runs),
        data=_joined(_data(run, asked.split) for run in runs),
        rows=tuple(ordered),
        notes=(),
        left_out=tuple(left_out),
        split=asked.split,
        reference=reference,
    )
    documents = 0 if first.protocol == "nlpie" else len(contrasts.of(runs[0]).documents)
    return replace(table, notes=(*asked.notes, *table_notes(table, documents, asked.draws)))


def _row(group: Group, split: ScoredSplit, backbone: str) -> Row:
    first = group.runs[0].manifest
    ledger = first.ledger
    manifests = [run.manifest for run in group.runs]
    return Row(
        plan=first.plan,
        task=first.task,
        backbone=backbone,
        seeds=tuple(manifest.seed for manifest in manifests),
        task_parameters=ledger.trainable - ledger.head,
        head_parameters=ledger.head,
        trainable=ledger.trainable,
        share=ledger.trainable / (ledger.backbone + ledger.layerwise),
        shipped_bytes=ledger.shipped_bytes,
        score=spread(manifest.metrics[split]["score"] for manifest in manifests),
        difference=None,
        p_holm=None,
        aso_epsilon=None,
        train_seconds=spread(manifest.timings.train_seconds for manifest in manifests),
        peak_bytes=spread(manifest.memory.peak_bytes for manifest in manifests),
        inference=mean_inference(group.runs),
        best=False,
        runs=group.runs,
        settings=group.settings,
        scores=tuple(float(manifest.metrics[split]["score"]) for manifest in manifests),
    )


def _compared(row: Row, reference: Group | None, contrasts: Contrasts) -> Row:
    if reference is None or row.runs == reference.runs:
        return row
    difference = contrasts.difference(row.runs, reference.runs)
    if difference is None:
        return row
    split = contrasts.split
    others = [float(run.manifest.metrics[split]["score"]) for run in reference.runs]
    # A bootstrap over seeds needs some: the quantiles of one score have no spread.
    several = min(len(row.scores), len(others)) > 1
    epsilon = epsilon_min(row.scores, others) if several else None
    return replace(row, difference=difference, aso_epsilon=epsilon)


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """Correct the p-values for the number of rows of the table."""
    adjusted = iter(holm([row.difference.p for row in rows if row.difference is not None]))
    return [row if row.difference is None else replace(row, p_holm=next(adjusted)) for row in rows]


def _with_best(rows: Sequence[Row], contrasts: Contrasts) -> list[Row]:
    first, *others = sorted(rows, key=lambda row: row.score.mean, reverse=True)
    best = contrasts.beats_all(first.runs, [row.runs for row in others])
    return [replace(row, best=best and row is first) for row in rows]


def _size(row: Row) -> tuple[str, int, str, str]:
    return row.backbone, row.trainable, row.plan, row.settings


def _backbone(group: Group) -> str:
    return group.runs[0].manifest.backbone.fingerprint


def _backbones(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(map(_backbone, groups)))


def _of(groups: Sequence[Group], backbone: str) -> list[Group]:
    return [group for group in groups if _backbone(group) == backbone]


def _backbone_names(runs: Sequence[RunRecord]) -> dict[str, str]:
    """What each backbone is called in a table, by fingerprint: of a folder its last part.

    A table is for others to read, to whom the folders of a machine say nothing.
    """
    ids = {run.manifest.backbone.fingerprint: run.manifest.backbone.id for run in runs}
    names = {key: Path(id_).name if Path(id_).is_absolute() else id_ for key, id_ in ids.items()}
    shared = {name for name in names.values() if [*names.values()].count(name) > 1}
    return {
        key: f"{name} ({key.removeprefix('sha256:')[:8]})" if name in shared else name
        for key, name in names.items()
    }


def _data(record: RunRecord, split: ScoredSplit) -> str:
    """Where the data came from: of a folder its last part, and the split's checksum."""
    data = record.manifest.data
    if record.manifest.sample:
        return "the built-in sample"
    if data.source == "hub":
        return f"hub: {data.location}"
    return f"{data.source}: {Path(data.location).name} ({split} {data.splits[split].sha256[:8]})"


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def _no_reference(reference: str, records: Sequence[RunRecord]) -> UserError:
    return UserError(
        "No run has the plan that the others are to be compared with.",
        where="--reference",
        found=reference,
        allowed=dict.fromkeys(record.manifest.plan for record in records),
        hint="name one of them, or leave the option out",
    )
