"""Which runs make a row: those that differ in their seed alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapterkit.comparing.records.mixing import data_source
from adapterkit.comparing.records.record import RunRecord
from adapterkit.comparing.records.settings import differing, say_settings, settings_of


@dataclass(frozen=True)
class Group:
    """Runs of one row.

    Attributes:
        runs: In the order of their seeds.
        settings: How they differ from runs of the same plan in other rows, in words.
    """

    runs: tuple[RunRecord, ...]
    settings: str


# What a table may mix if it is told to; a row never does.
_MIXED: dict[str, Callable[[RunRecord], str]] = {
    "data": data_source,
    "protocol": lambda record: record.manifest.protocol,
    "splits": lambda record: ", ".join(
        f"{name} {split.sha256[:8]}/{split.examples}"
        for name, split in sorted(record.manifest.data.splits.items())
    ),
}


def group_runs(records: Sequence[RunRecord]) -> list[Group]:
    """Group the runs of a task to rows, in the order of each row's first run."""
    mixed = [name for name, say in _MIXED.items() if len({say(record) for record in records}) > 1]
    by_plan: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        key = record.manifest.plan, record.manifest.backbone.fingerprint
        by_plan.setdefault(key, []).append(record)
    return [group for runs in by_plan.values() for group in _split(runs, mixed)]


def _split(runs: Sequence[RunRecord], mixed: Sequence[str]) -> list[Group]:
    """Split runs of one plan and backbone by what else they differ in."""
    names = differing(runs)
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in runs:
        settings = settings_of(record)
        values = [repr(settings.get(name)) for name in names]
        key = (*values, *(_MIXED[name](record) for name in mixed))
        groups.setdefault(key, []).append(record)
    return [
        Group(tuple(sorted(group, key=lambda r: r.manifest.seed)), _say(group[0], names, mixed))
        for group in groups.values()
    ]


def _say(record: RunRecord, names: Sequence[str], mixed: Sequence[str]) -> str:
    others = [f"{name}={_MIXED[name](record)}" for name in mixed]
    return ", ".join(filter(None, [say_settings(record, names), *others]))
