"""What a reader must know to read a table right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapterkit.comparing.records.settings import differing, teacher_of
from adapterkit.comparing.tables.contrasts import LEVEL
from adapterkit.comparing.tables.measured import read_inference
from adapterkit.comparing.tables.row import Row
from adapterkit.comparing.tables.table import Table
from adapterkit.runs.manifest import RunManifest

SEEDS = 5
"""As many make a comparison; fewer are measurements."""

_LISTED = 6


def table_notes(table: Table, documents: int, draws: int) -> tuple[str, ...]:
    """Return the notes of a table whose rows are complete.

    Args:
        table: The table.
        documents: Documents of its split; 0 where they were not compared.
        draws: Draws of each bootstrap.
    """
    manifests = [run.manifest for row in table.rows for run in row.runs]
    return (
        *_on_data(manifests),
        *_on_differences(table, documents, draws),
        *_on_best(table),
        *_on_seeds(table),
        *_on_settings(table),
        *_on_teachers(table),
        *_on_costs(table, manifests),
        *_on_runs(manifests),
    )


def _on_data(manifests: list[RunManifest]) -> Iterator[str]:
    if any(manifest.sample for manifest in manifests):
        yield "Scores on the built-in sample show that things work, and nothing else."
    if "nlpie" in {manifest.protocol for manifest in manifests}:
        yield (
            "Protocol nlpie scores word pieces leniently: its scores cannot be compared with "
            "word-level strict ones, and have no bootstrap."
        )


def _on_differences(table: Table, documents: int, draws: int) -> Iterator[str]:
    if table.reference is None:
        yield "No row is the reference (the plan full unless another is named): no differences."
        return
    compared = [row for row in table.rows if row.difference is not None]
    left = [row for row in table.rows if row.difference is None and row.plan != table.reference]
    if compared:
        yield (
            f"Difference: to {_name(table, table.reference)}, with its 95 % interval, by a paired "
            f"bootstrap over {documents:,} documents ({draws:,} draws, studentised); p after "
            f"Holm's correction for {_count(len(compared), 'row')}. It is about these runs on "
            "other documents, not about other seeds."
        )
    if any(row.aso_epsilon is not None for row in compared):
        yield (
            "ASO: almost stochastic order over seeds, the upper 95 % bound of how far a row is "
            "from being better than the reference throughout; below 0.5 it is almost always better."
        )
    if left:
        yield f"Not on the reference's documents, so without a difference: {_plans(left)}."


def _on_best(table: Table) -> Iterator[str]:
    if len(table.rows) < 2:
        return
    if any(row.best for row in table.rows):
        yield f"Bold: significantly better than every other row (p < {LEVEL} after Holm)."
    else:
        yield "No score is bold: the highest is not significantly better than every other row."


def _on_seeds(table: Table) -> Iterator[str]:
    fewest = min(len(row.seeds) for row in table.rows)
    if fewest < SEEDS:
        few = _count(fewest, "seed")
        yield f"Some rows have {few}: a measurement; a comparison needs {SEEDS}."
    if len({row.seeds for row in table.rows}) > 1:
        yield "Not every row has the same seeds."


def _on_settings(table: Table) -> Iterator[str]:
    names = differing([run for row in table.rows for run in row.runs])
    if names:
        yield f"Hyper-parameters that are not the same in all runs: {_listed(names)}."


def _on_teachers(table: Table) -> Iterator[str]:
    taught = [run for row in table.rows for run in row.runs if teacher_of(run) is not None]
    if taught:
        yield (
            f"Learned from a fine-tuned teacher beside the labels: {_count(len(taught), 'run')} of "
            f"{sum(len(row.runs) for row in table.rows)}."
        )


def _on_costs(table: Table, manifests: list[RunManifest]) -> Iterator[str]:
    machines = dict.fromkeys(_machine(manifest) for manifest in manifests)
    if len(machines) > 1:
        yield f"Times and memory are from different hardware: {'; '.join(machines)}."
    else:
        yield f"Times and memory in training: {next(iter(machines))}."
    cached = max(manifest.timings.cache_seconds for manifest in manifests)
    if cached > 0:
        yield (
            f"Time of training leaves out what filling the frozen-prefix cache took, up to "
            f"{cached:,.0f} s, once for a data set."
        )
    setups = dict.fromkeys(
        f"{_count(found.threads, 'thread')}, batches of {found.batch_tokens:,} word pieces"
        for row in table.rows
        for run in row.runs
        if (found := read_inference(run)) is not None
    )
    if setups:
        yield f"Latency of one text at a time, and throughput: {'; '.join(setups)}."


def _on_runs(manifests: list[RunManifest]) -> Iterator[str]:
    unsealed = sum(manifest.digest is None for manifest in manifests)
    if unsealed:
        yield (
            f"{_count(unsealed, 'run')} not sealed, from before runs were: that nothing was "
            "changed is known of their scores alone."
        )
    said: dict[str, int] = {}
    for manifest in manifests:
        for note in manifest.notes:
            said[note] = said.get(note, 0) + 1
    for note, count in said.items():
        yield f"{note} ({count} of {_count(len(manifests), 'run')})."


def _machine(manifest: RunManifest) -> str:
    hardware = manifest.hardware
    cores = _count(int(hardware.get("cores", 1)), "core")
    cpu = f"{cores} of {hardware.get('cpu', 'an unknown processor')}"
    threads = f", {_count(hardware['threads'], 'thread')}" if "threads" in hardware else ""
    return f"{hardware['gpu']}, {cpu}" if "gpu" in hardware else cpu + threads


def _name(table: Table, plan: str | None) -> str:
    row = next((r for r in table.rows if r.plan == plan and r.difference is None), None)
    return f"{plan} ({row.settings})" if row is not None and row.settings else str(plan)


def _plans(rows: Iterable[Row]) -> str:
    return _listed(row.plan + (f" ({row.settings})" if row.settings else "") for row in rows)


def _listed(words: Iterable[str]) -> str:
    known = list(words)
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return ", ".join(known[:_LISTED]) + more


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
