"""Tunes one task with several plans and seeds and records what came out.

    python benchmarks/modes.py bc5cdr --output benchmarks/results/bc5cdr-modes.json --seeds 0 1 2

Runs go through the command line, as a user would type them, one after another or several at a
time. A run that was recorded at the same commit is not repeated; one that was stopped is resumed.
Beside the record stands the same as Markdown tables: each plan over its seeds, then each run.
"""

from __future__ import annotations

import argparse
import statistics
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from recording import (
    data_of,
    folder_name,
    is_recorded,
    keep_run,
    machine,
    open_record,
    tune,
    write_record,
    write_text,
)

PLANS = (
    "--mode full",
    "--mode layerwise",
    "--mode adapter",
    "--mode adapter --steps 3-5",
)


_WRITING = threading.Lock()


def main() -> None:
    """Run what is missing and write the record after every run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--plans", nargs="+", default=PLANS, help="each the options of one plan")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--options", default="", help="more options for every run")
    parser.add_argument("--note", help="what a reader must know of these runs")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    options = parser.parse_args()
    record = open_record(options.output)
    if options.note:
        record["note"] = options.note
    cells = [(plan, seed) for seed in options.seeds for plan in options.plans]
    with ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(_record_run, record, options, *cell) for cell in cells]:
            done.result()
    write_text(options.output.with_suffix(".md"), _table(record))


def _record_run(record: dict[str, Any], options: argparse.Namespace, plan: str, seed: int) -> None:
    typed = f"adapterkit tune --task {options.task} {plan} --seed {seed} {options.options}".strip()
    if is_recorded(record, typed):
        return
    name = folder_name(options.task, plan, options.options)
    manifest = tune(typed, options.runs / record["commit"][:10] / f"{name}-s{seed}")
    with _WRITING:
        keep_run(record, typed, manifest)
        record["data"] = data_of(manifest)
        write_record(options.output, record)


def _table(record: dict[str, Any]) -> str:
    first = record["runs"][0]
    backbones = sorted({_backbone(run) for run in record["runs"]})
    lines = [
        f"# {first['task']}: what each plan reached",
        "",
        f"Backbone: {', '.join(backbones)}. Protocol: `{first['protocol']}`.",
        f"Commit `{record['commit'][:10]}`, {record['date']}, {machine(record)}."
        f" Scores: {first['metrics']['test']['metric']}, mean ± standard deviation over seeds.",
        *([record["note"]] if "note" in record else []),
        "",
        "| command | trainable parameters | of the backbone's | bytes shipped | dev | test | n |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *_plans(record["runs"]),
        "",
        "Every run:",
        "",
        "| command | dev | test | training | peak memory |",
        "|---|---:|---:|---:|---:|",
        *map(_run, record["runs"]),
    ]
    return "\n".join([*lines, "", "Made by:", "", f"    {record['command']}", ""])


def _plans(runs: Sequence[dict[str, Any]]) -> list[str]:
    """A row for each plan, most parameters first."""
    plans: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        plans.setdefault(run["command"].replace(f" --seed {run['seed']}", ""), []).append(run)
    rows = []
    for plan, found in sorted(plans.items(), key=lambda item: -item[1][0]["ledger"]["trainable"]):
        ledger = found[0]["ledger"]
        share = ledger["trainable"] / (ledger["backbone"] + ledger["layerwise"])
        scores = (
            _spread([run["metrics"][split]["score"] for run in found]) for split in ("dev", "test")
        )
        rows.append(
            f"| `{plan}` | {ledger['trainable']:,} | {share:.1%}"
            f" | {ledger['shipped_bytes']:,} | {' | '.join(scores)} | {len(found)} |"
        )
    return rows


def _run(run: dict[str, Any]) -> str:
    metrics = run["metrics"]
    return (
        f"| `{run['command']}` | {metrics['dev']['score']:.4f} | {metrics['test']['score']:.4f}"
        f" | {run['timings']['train_seconds'] / 60:.1f} min"
        f" | {run['memory']['peak_bytes'] / 2**30:.1f} GiB |"
    )


def _spread(scores: Sequence[float]) -> str:
    mean = f"{statistics.mean(scores):.4f}"
    return f"{mean} ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else mean


def _backbone(run: dict[str, Any]) -> str:
    return f"`{run['backbone']['id']}` (`{run['backbone']['fingerprint'][:19]}`)"


if __name__ == "__main__":
    main()
