"""Whether `torch.compile` pays for a recursion step: what it takes to compile, and what it saves.

    python benchmarks/compiling.py --output benchmarks/results/compiling.json

The same training updates on BC5CDR's first sentences, before and after each recursion step is
compiled for any number of word pieces. Nothing is reused from earlier compilations.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from part import write_part
from recording import machine, new_record, write_record, write_text

from adapterkit.backbones.fusing import fused_updates
from adapterkit.runs.environment import hardware, versions
from adapterkit.runs.progress import Silence
from adapterkit.tuning.batches import Collator, TokenBatches
from adapterkit.tuning.prepare import prepare
from adapterkit.tuning.request import Request


def main() -> None:
    """Time both, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--plan", default="0-2:frozen 3-5:adapter")
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--note", help="what a reader must know of this measurement")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    record = new_record() | {"hardware": hardware(), "versions": versions(), "plan": options.plan}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"XDG_CACHE_HOME": folder, "TORCHINDUCTOR_CACHE_DIR": folder}
        record["runs"] = [_measure(Path(folder), options)]
    if options.note:
        record["note"] = options.note
    write_record(options.output, record)
    write_text(options.output.with_suffix(".md"), _page(record))


def _measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    task = write_part(folder / "part", 320, dev=8, test=8)
    request = Request(task=str(task), plan=options.plan, data=str(task.parent), epochs=1)
    prepared = prepare(request, Silence())
    model, train = prepared.applied.model.train(), prepared.splits["train"]
    lengths = [len(window.input_ids) for window in train.encoded.windows]
    cut = TokenBatches(lengths, prepared.settings.batch_tokens, 0, 1)
    collate = Collator(train.task, train.encoded, train.pad_token_id)
    batches = [collate(batch) for batch in list(cut)[: options.updates]]

    def updates() -> None:
        for batch in batches:
            model(**batch).loss.backward()
            model.zero_grad()

    with fused_updates(model):
        updates()
        before = [_seconds(updates) for _ in range(options.rounds)]
        for group in model.albert.encoder.albert_layer_groups:
            group.compile(dynamic=True)
        compiling = _seconds(updates)
        updates()
        after = [_seconds(updates) for _ in range(options.rounds)]
    return {
        "updates": len(batches),
        "eager": {"median": statistics.median(before), "all": before},
        "compiled": {"median": statistics.median(after), "all": after},
        "first_pass": compiling,
    }


def _seconds(act: Callable[[], None]) -> float:
    """Processor seconds, those of compilers that were started included."""
    started = _spent()
    act()
    return _spent() - started


def _spent() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _page(record: dict[str, Any]) -> str:
    (run,) = record["runs"]
    eager, compiled = run["eager"]["median"], run["compiled"]["median"]
    saved = (eager - compiled) / run["updates"]
    cost = run["first_pass"] - compiled
    pays = f"after {cost / saved:,.0f} updates" if saved > 0 else "never"
    return "\n".join(
        [
            "# What torch.compile saves in training",
            "",
            f"Commit `{record['commit'][:10]}`, {record['date']}, {machine(record)}, "
            f"threads: {record['hardware']['threads']}; plan `{record['plan']}`, "
            f"{run['updates']} updates of the default batch, medians of "
            f"{len(run['eager']['all'])} rounds, processor time.",
            *([record["note"]] if "note" in record else []),
            "",
            "| | seconds |",
            "|---|---:|",
            f"| updates as they are | {eager:.2f} |",
            f"| updates with every step compiled | {compiled:.2f} |",
            f"| compiling | {cost:.0f} |",
            "",
            f"It saves {1 - compiled / eager:.1%} of an update, and so pays {pays}. An epoch of "
            "bc5cdr has about 350.",
            "",
            "Made by:",
            "",
            f"    {record['command']}",
            "",
        ]
    )


if __name__ == "__main__":
    main()
