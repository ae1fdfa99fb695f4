"""Times predicting with several adapters at once against each alone, on sentences of bc5cdr.

    python benchmarks/together.py --output benchmarks/results/together.json

The adapters are trained on a few sentences first: what they have learned does not change what they
cost. Times are processor seconds of the whole process and seconds on the clock, medians of rounds
in which the ways take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recording import adapterkit, machine, open_record, write_record, write_text

PLANS = (
    "--mode adapter --steps 3-5",
    "--mode adapter --steps 5",
    "--mode seq_bn --steps 3-5",
    "--mode seq_bn --steps 5",
)
TEXTS = {"one sentence": 1, "50 sentences": 50}


def main() -> None:
    """Train what is missing, time every plan, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--plans", nargs="+", default=PLANS)
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/together"))
    parser.add_argument("--note", help="what a reader must know of this measurement")
    options = parser.parse_args()
    record = open_record(options.output)
    record |= {"adapters": options.adapters, "threads": options.threads, "runs": []}
    if options.note:
        record["note"] = options.note
    for plan in options.plans:
        folders = [_trained(record, plan, seed, options.runs) for seed in range(options.adapters)]
        record["runs"] += _timed(plan, folders, options)
        write_record(options.output, record)
        write_text(options.output.with_suffix(".md"), _table(record))


def _trained(record: dict[str, Any], plan: str, seed: int, runs: Path) -> Path:
    folder = runs / f"{plan.replace('--', '').replace(' ', '-')}-s{seed}"
    if not (folder / "run.json").exists():
        words = plan.split()
        few = ("--epochs", "1", "--limit-train", "8", "--seed", str(seed))
        tuned = adapterkit("tune", "--task", "bc5cdr", "--data", "sample", *words, *few,
                           "--output", str(folder))  # fmt: skip
        record.setdefault("hardware", tuned["hardware"])
    if "hardware" not in record:
        manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        record["hardware"] = manifest["hardware"]
    return folder


def _timed(plan: str, folders: list[Path], options: argparse.Namespace) -> list[dict[str, Any]]:
    import torch

    from adapterkit import load_adapter, load_adapters

    torch.set_num_threads(options.threads)
    alone = [load_adapter(folder) for folder in folders]
    together = load_adapters(folders)
    rows = []
    for name, count in TEXTS.items():
        texts = _texts(count)
        ways: dict[str, Callable[[], Any]] = {
            "one": lambda texts=texts: alone[0].predict(texts),
            "one after another": lambda texts=texts: [each.predict(texts) for each in alone],
            "together": lambda texts=texts: together.predict(texts),
        }
        repeats = max(1, 20 // count)
        rows.append({"plan": plan, "texts": name, **_medians(ways, options.rounds, repeats)})
    return rows


def _medians(
    ways: dict[str, Callable[[], Any]], rounds: int, repeats: int
) -> dict[str, dict[str, float]]:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            processor, clock = time.process_time(), time.perf_counter()
            for _ in range(repeats):
                way()
            spent = (time.process_time() - processor, time.perf_counter() - clock)
            if number:  # the first round warms up
                taken[name].append((spent[0] / repeats, spent[1] / repeats))
    return {
        name: {
            "processor_seconds": statistics.median(one for one, _ in times),
            "seconds": statistics.median(two for _, two in times),
        }
        for name, times in taken.items()
    }


def _texts(count: int) -> list[str]:
    data = Path(os.environ["ADAPTERKIT_DATA"]) / "bc5cdr" / "test.tsv"
    blocks = data.read_text(encoding="utf-8").strip("\n").split("\n\n")
    sentences = [" ".join(line.split("\t")[0] for line in b.split("\n")) for b in blocks]
    if count > 1:
        return sentences[:count]
    lengths = sorted(len(sentence) for sentence in sentences)
    typical = lengths[len(lengths) // 2]
    return [next(sentence for sentence in sentences if len(sentence) == typical)]


def _table(record: dict[str, Any]) -> str:
    number = record["adapters"]
    lines = [
        f"# Predicting with {number} adapters",
        "",
        f"Commit `{record['commit'][:10]}`, {record['date']}, {machine(record)}, "
        f"{record['threads']} threads. Median milliseconds of processor time (on the clock in "
        "brackets) to read the same texts, and how many times that of one adapter it is.",
        *([record["note"]] if "note" in record else []),
        "",
        f"| plan | texts | one adapter | {number} together | {number} one after another "
        "| together | one after another |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in record["runs"]:
        one, both, each = (row[way] for way in ("one", "together", "one after another"))
        shares = [way["processor_seconds"] / one["processor_seconds"] for way in (both, each)]
        cells = " | ".join(
            f"{1000 * way['processor_seconds']:.1f} ({1000 * way['seconds']:.1f})"
            for way in (one, both, each)
        )
        lines.append(
            f"| `{row['plan']}` | {row['texts']} | {cells} | {shares[0]:.2f} | {shares[1]:.2f} |"
        )
    return "\n".join([*lines, "", "Made by:", "", f"    {record['command']}", ""])


if __name__ == "__main__":
    main()
