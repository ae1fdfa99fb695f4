"""The frozen prefix over the sessions of a run, which must end as one session would."""

from __future__ import annotations

import time
from dataclasses import replace

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.progress import Progress
from adapterkit.tuning.devices import move
from adapterkit.tuning.prefix import with_states
from adapterkit.tuning.prepare import Prepared


def keep_prefix(prepared: Prepared, directory: RunDirectory, progress: Progress) -> Prepared:
    """Give the run's splits the states of its frozen prefix, where they can be kept.

    A resumed run uses kept states for the splits that it used them for before, and for no others,
    so that not even the last bit of its weights depends on where it was stopped. Where it cannot,
    a note says so.

    Args:
        prepared: The run.
        directory: Its directory, whose ``state.json`` is there.
        progress: Told how it goes.
    """
    move(prepared.applied.model)
    started = time.monotonic()
    state = directory.load_state()
    before = state.get("cached")
    mode = prepared.request.prefix_cache
    splits, record = with_states(prepared.applied, prepared.splits, mode, progress, before)
    if before is None:
        directory.save_state({**state, "cached": sorted(record.splits)})
    elif lost := sorted({*before} - {*record.splits}):
        note = f"resumed without kept states of {', '.join(lost)}: last digits may differ"
        record = replace(record, notes=(*record.notes, note))
    if record.steps and mode == "auto":
        spent = time.monotonic() - started
        directory.append_log({"cached": dict(record.splits), "cache_seconds": round(spent, 3)})
    return replace(prepared, splits=splits, prefix=record)


def cache_seconds(directory: RunDirectory) -> float:
    """Seconds that keeping the states took, over all sessions of a run."""
    spent = (record.get("cache_seconds", 0.0) for record in directory.read_log())
    return round(float(sum(spent)), 3)
