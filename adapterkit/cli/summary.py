"""What a finished run is summed up in."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from adapterkit.cli import output
from adapterkit.cli.measures import print_per_type, say_measures
from adapterkit.runs.manifest import RunManifest

_EXAMPLES = {
    "ner": "Ibuprofen relieved his headache, but lithium caused tremor.",
    "text": "Mutant KRAS drives uncontrolled proliferation.",
}


def print_summary(path: Path, manifest: RunManifest) -> None:
    """Print the score, what it cost, where the run lies and what to type next."""
    ledger = manifest.ledger
    total = ledger.backbone + ledger.layerwise + ledger.task + ledger.head
    share = ledger.trainable / total
    output.print_facts(
        [
            ("task", manifest.task),
            ("data", f"{manifest.data.source}: {manifest.data.location}"),
            ("plan", manifest.plan),
            *_teacher(manifest),
            ("dev score", say_measures(manifest.metrics["dev"])),
            ("test score", say_measures(manifest.metrics["test"])),
            ("trainable", f"{ledger.trainable:,} of {total:,} parameters ({share:.2%})"),
            ("shipped", output.human_bytes(ledger.shipped_bytes)),
            ("time", _times(manifest)),
            ("memory", f"{output.human_bytes(manifest.memory.peak_bytes)} at most"),
            *[("note", note) for note in manifest.notes],
            ("run", str(path)),
        ]
    )
    print_per_type(manifest.metrics["test"])
    typer.echo("\nWhat to type next:")
    for line in next_commands(path, manifest):
        typer.echo(f"  {line}")


def next_commands(path: Path, manifest: RunManifest) -> list[str]:
    """Return commands that score the run again and use it."""
    run = shlex.quote(str(path))
    ner = "O" in manifest.labels
    text = shlex.quote(_EXAMPLES["ner" if ner else "text"])
    return [
        f"adapterkit evaluate {run} --task {shlex.quote(manifest.task)}",
        f"echo {text} | adapterkit predict --adapter {run}",
    ]


def _teacher(manifest: RunManifest) -> list[tuple[str, str]]:
    found = (manifest.model_extra or {}).get("teacher")
    return [] if found is None else [("teacher", f"{found['source']} ({found['plan']})")]


def _times(manifest: RunManifest) -> str:
    timings = manifest.timings
    parts = {
        "caching": timings.cache_seconds,
        "training": timings.train_seconds,
        "scoring": timings.evaluate_seconds,
    }
    said = [f"{name} {output.human_seconds(spent)}" for name, spent in parts.items() if spent]
    return f"{output.human_seconds(sum(parts.values()))} ({', '.join(said)})"
