"""Tunes one task with several plans and seeds and records what came out.

    python benchmarks/modes.py bc5cdr --output benchmarks/results/bc5cdr-modes.json

Runs go one after another through the command line, as a user would type them. A run that was
recorded at the same commit is not repeated; one that was stopped is resumed. Beside the record
stands the same as a Markdown table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

PLANS = (
    "--mode full",
    "--mode layerwise",
    "--mode adapter",
    "--mode adapter --steps 3-5",
)
KEPT = (
    "task", "plan", "seed", "protocol", "backbone", "ledger", "hyperparameters", "metrics",
    "timings", "memory", "padding_share", "notes",
)  # fmt: skip


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
    record = _open_record(options.output)
    if options.note:
        record["note"] = options.note
    for seed in options.seeds:
        for plan in options.plans:
            _record_run(record, options, plan, seed)
    _write_text(options.output.with_suffix(".md"), _table(record))


def _record_run(record: dict[str, Any], options: argparse.Namespace, plan: str, seed: int) -> None:
    typed = f"adapterkit tune --task {options.task} {plan} --seed {seed} {options.options}".strip()
    if any(run["command"] == typed for run in record["runs"]):
        return
    name = "-".join(shlex.split(f"{options.task} {plan}")).replace("--", "").replace("/", "_")
    folder = options.runs / record["commit"][:10] / f"{name}-s{seed}"
    command = [*shlex.split(typed), "--output", str(folder), "--json"]
    if (folder / "state.json").exists():
        command = ["adapterkit", "tune", "--resume", "--output", str(folder), "--json"]
    print(typed, file=sys.stderr, flush=True)
    program = Path(sys.executable).with_name("adapterkit")
    done = subprocess.run([str(program), *command[1:]], stdout=subprocess.PIPE, check=True)
    manifest = json.loads(done.stdout.splitlines()[-1])
    record["hardware"] = manifest["hardware"]
    record["versions"] = manifest["versions"]
    record["data"] = {
        "source": manifest["data"]["source"],
        "splits": manifest["data"]["splits"],
    }
    record["runs"].append({"command": typed, **{key: manifest[key] for key in KEPT}})
    _write(options.output, record)


def _open_record(path: Path) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    if path.exists():
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["commit"] == commit:
            return record
        sys.exit(f"{path} was made at commit {record['commit']}: move it away first")
    return {
        "commit": commit,
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.date.today().isoformat(),
        "runs": [],
    }


def _table(record: dict[str, Any]) -> str:
    hardware, first = record["hardware"], record["runs"][0]
    lines = [
        f"# {first['task']}: what each plan reached",
        "",
        f"One row is one run; the backbone is `{first['backbone']['id']}`"
        f" (`{first['backbone']['fingerprint'][:19]}`), the protocol `{first['protocol']}`.",
        f"Commit `{record['commit'][:10]}`, {record['date']}, {hardware['cores']} cores of"
        f" {hardware['cpu']}. Scores: {first['metrics']['test']['metric']}.",
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


def _write(path: Path, record: dict[str, Any]) -> None:
    _write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
