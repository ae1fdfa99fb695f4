"""What may stand in one table: rows of the same data, protocol, split and backbone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from adapterkit.comparing.records.record import RunRecord
from adapterkit.runs.errors import UserError, nearest


@dataclass(frozen=True)
class _Likeness:
    """Something that the rows of a table have in common.

    Attributes:
        name: What it is, in words.
        say: What it is for a run; runs that say the same are alike.
    """

    name: str
    say: Callable[[RunRecord], str]


def data_source(record: RunRecord) -> str:
    """Where a run's data came from, as far as it matters: ``files``, ``hub`` or ``sample``.

    A folder that was named, one in ``ADAPTERKIT_DATA`` and one in the cache hold the same files.
    """
    source = record.manifest.data.source
    return source if source in ("hub", "sample") else "files"


def _splits(record: RunRecord) -> str:
    return ", ".join(
        f"{name} {split.sha256[:12]} ({split.examples:,} examples)"
        for name, split in sorted(record.manifest.data.splits.items())
    )


def _metric(record: RunRecord) -> str:
    return ", ".join(sorted({str(m.get("metric", "")) for m in record.manifest.metrics.values()}))


_MAY_DIFFER = {
    "data": _Likeness("data source", data_source),
    "protocol": _Likeness("protocol", lambda record: record.manifest.protocol),
    "split": _Likeness("splits", _splits),
    "backbone": _Likeness("backbone", lambda r: r.manifest.backbone.fingerprint),
}
_METRIC = _Likeness("metric", _metric)
_SAMPLE = _Likeness("sample or corpus", lambda r: "sample" if r.manifest.sample else "corpus")

ALLOWED = tuple(_MAY_DIFFER)
"""What may be allowed to differ."""


def check_comparable(records: Sequence[RunRecord], allow: Collection[str] = ()) -> None:
    """Check that runs of the same task can share a table.

    They must have the same data source, the same splits (SHA-256 and number of examples), protocol,
    metric and backbone. The built-in sample is never mixed with a corpus, and scores by different
    metrics are only where different protocols are allowed, which name theirs differently.

    Args:
        records: Runs, of one task or several.
        allow: What may differ all the same, of `ALLOWED`.

    Raises:
        UserError: Some differ; says which, in what, and how to allow it.
    """
    for word in allow:
        _check_allowed(word)
    for task in dict.fromkeys(record.manifest.task for record in records):
        _check_task(task, [r for r in records if r.manifest.task == task], allow)


def _check_allowed(word: str) -> None:
    if word not in ALLOWED:
        close = nearest(word, ALLOWED)
        raise UserError(
            "that may not be allowed to differ",
            where="--allow",
            found=word,
            allowed=ALLOWED,
            hint=f"did you mean {close}?" if close else None,
        )


def _check_task(task: str, records: Sequence[RunRecord], allow: Collection[str]) -> None:
    if _groups(_SAMPLE, records):
        raise _mixed(task, records, [_SAMPLE], "compare the sample and the corpus separately")
    asked = [word for word in ALLOWED if word not in allow and _groups(_MAY_DIFFER[word], records)]
    if asked:
        words = " ".join(f"--allow {word}" for word in asked)
        found = [_MAY_DIFFER[word] for word in asked]
        raise _mixed(task, records, found, f"compare them separately, or mix them with {words}")
    if "protocol" not in allow and _groups(_METRIC, records):
        raise _mixed(task, records, [_METRIC], "compare them separately")


def _groups(likeness: _Likeness, records: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """The runs by what they are like; empty where they are all alike."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(likeness.say(record), []).append(record)
    return groups if len(groups) > 1 else {}


def _mixed(
    task: str, records: Sequence[RunRecord], found: Sequence[_Likeness], hint: str
) -> UserError:
    lines = [
        f"{likeness.name}: "
        + " | ".join(_say(*group) for group in _groups(likeness, records).items())
        for likeness in found
    ]
    return UserError(
        f"The runs of {task} cannot share a table: they differ in "
        f"{' and '.join(likeness.name for likeness in found)}.",
        found="; ".join(lines),
        allowed="rows of one data source, protocol, split and backbone",
        hint=hint,
    )


def _say(likeness: str, records: Sequence[RunRecord]) -> str:
    others = f" and {len(records) - 1} more" if len(records) > 1 else ""
    return f"{likeness} in {records[0].path}{others}"
