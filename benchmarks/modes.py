"""Tunes one task with several plans and seeds and records what came out.

    python benchmarks/modes.py bc5cdr --output benchmarks/results/bc5cdr-modes.json

Runs go one after another through the command line, as a user would type them. A run that was
recorded at the same commit is not repeated; one that was stopped is resumed. Beside the record
stands the same as a Markdown table.
"""

from __future__ import annotations

import argparse
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
    options = parser.parse_args()
    record = open_record(options.output)
    if options.note:
        record["note"] = options.note
    for seed in options.seeds:
        for plan in options.plans:
            _record_run(record, options, plan, seed)
    write_text(options.output.with_suffix(".md"), _table(record))


def _record_run(record: dict[str, Any], options: argparse.Namespace, plan: str, seed: int) -> None:
    typed = f"adapterkit tune --task {options.task} {plan} --seed {seed} {options.options}".strip()
    if is_recorded(record, typed):
        return
    name = folder_name(options.task, plan, options.options)
    manifest = tune(typed, options.runs / record["commit"][:10] / f"{name}-s{seed}")
    keep_run(record, typed, manifest)
    record["data"] = data_of(manifest)
    write_record(options.output, record)


def _table(record: dict[str, Any]) -> str:
    first = record["runs"][0]
    lines = [
        f"# {first['task']}: what each plan reached",
        "",
        f"One row is one run; the backbone is `{first['backbone']['id']}`"
        f" (`{first['backbone']['fingerprint'][:19]}`), the protocol `{first['protocol']}`.",
        f"Commit `{record['commit'][:10]}`, {record['date']}, {machine(record)}."
        f" Scores: {first['metrics']['test']['metric']}.",
        *([record["note"]] if "note" in record else []),
        "",
        "| command | trainable parameters | bytes shipped | dev | test | training | peak memory |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for run in sorted(record["runs"], key=lambda run: -run["ledger"]["trainable"]):
        ledger, metrics = run["ledger"], run["metrics"]
        lines.append(
            f"| `{run['command']}` | {ledger['trainable']:,} | {ledger['shipped_bytes']:,}"
            f" | {metrics['dev']['score']:.4f} | {metrics['test']['score']:.4f}"
            f" | {run['timings']['train_seconds'] / 60:.1f} min"
            f" | {run['memory']['peak_bytes'] / 2**30:.1f} GiB |"
        )
    return "\n".join([*lines, "", "Made by:", "", f"    {record['command']}", ""])


if __name__ == "__main__":
    main()
