"""Whether the mean of five seeds' adapters beats the seeds, and whether fusing two tasks helps.

    python benchmarks/composing.py --output benchmarks/results/composing.json

Adapters are tuned on BC5CDR with several seeds, and one on NCBI-disease. The seeds are averaged by
`share pack --average-seeds`, and the mean is scored by `evaluate`. AdapterFusion of a BC5CDR and
the NCBI-disease adapter is tuned on BC5CDR; beside it stands what that BC5CDR adapter comes to when
it is tuned on for as long (`tune --from`). What is finished is kept and not made again.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from first_sentences import write_first
from recording import adapterkit, machine, new_record, tune, write_record, write_text

MAIN, OTHER = "bc5cdr", "ncbi_disease"


def main() -> None:
    """Make what is missing, and write record and page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--runs", type=Path, default=Path("runs/composing"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--first",
        nargs=3,
        type=int,
        metavar=("TRAIN", "DEV", "TEST"),
        help="only so many sentences of each split",
    )
    parser.add_argument("--options", default="", help="more options for every tune")
    parser.add_argument("--note", help="what a reader must know of these runs")
    options = parser.parse_args()
    record = new_record() | {"options": options.options, "note": options.note}
    record["first"] = options.first
    main_task, other_task = _tasks(options)
    seeds = [
        _tune(options, f"{MAIN}-s{seed}", f"--task {main_task} --mode adapter --seed {seed}")
        for seed in range(options.seeds)
    ]
    other = _tune(options, OTHER, f"--task {other_task} --mode adapter")
    record["seeds"] = [_kept(manifest) for manifest in seeds]
    record["other"] = _kept(other)
    record["mean"] = _mean_of_seeds(options, main_task)
    first = options.runs / f"{MAIN}-s0"
    second = options.runs / OTHER
    fused = _tune(options, "fused", f"--task {main_task} --fuse {first} --fuse {second}")
    on = _tune(options, "tuned-on", f"--task {main_task} --from {first}")
    record["fused"], record["tuned_on"] = _kept(fused), _kept(on)
    record["hardware"], record["versions"] = fused["hardware"], fused["versions"]
    write_record(options.output, record)
    write_text(options.output.with_suffix(".md"), as_markdown(record))


def _tune(options: argparse.Namespace, name: str, arguments: str) -> dict[str, Any]:
    typed = f"adapterkit tune {arguments} {options.options}".strip()
    return tune(typed, options.runs / name) | {"typed": typed}


def _kept(manifest: dict[str, Any]) -> dict[str, Any]:
    scores = {split: manifest["metrics"][split]["score"] for split in ("dev", "test")}
    return {
        "command": manifest["typed"],
        "seed": manifest["seed"],
        "trainable": manifest["ledger"]["trainable"],
        "train_seconds": manifest["timings"]["train_seconds"],
        **scores,
    }


def _tasks(options: argparse.Namespace) -> tuple[str, str]:
    """What `--task` is given for the two corpora."""
    if options.first is None:
        return MAIN, OTHER
    counts = dict(zip(("train", "dev", "test"), options.first, strict=True))
    paths = [write_first(task, options.runs / "data" / task, counts) for task in (MAIN, OTHER)]
    return str(paths[0]), str(paths[1])


def _mean_of_seeds(options: argparse.Namespace, task: str) -> dict[str, Any]:
    """Dev and test score of the mean of the seeds' adapters and heads."""
    folder = options.runs / "mean"
    runs = [str(options.runs / f"{MAIN}-s{seed}") for seed in range(options.seeds)]
    if not folder.exists():
        adapterkit("share", "pack", *runs, "--average-seeds", "--output", str(folder))
    # A package tells the scores of its seeds; those of their mean are found by running it.
    return {
        split: adapterkit("evaluate", str(folder), "--task", task, "--split", split)["metrics"][
            "score"
        ]
        for split in ("dev", "test")
    }


def as_markdown(record: dict[str, Any]) -> str:
    """The record as a page."""
    found = {split: [seed[split] for seed in record["seeds"]] for split in ("dev", "test")}
    rows = [
        ("single seeds, mean ± standard deviation", *(_spread(found[s]) for s in found)),
        ("single seeds, the best on dev", *_best(record["seeds"])),
        ("mean of the seeds' weights", *_both(record["mean"])),
        ("seed 0 tuned on", *_both(record["tuned_on"])),
        (f"seed 0 fused with {OTHER}'s adapter", *_both(record["fused"])),
    ]
    lines = [
        "# Averaging seeds and fusing tasks, on BC5CDR",
        "",
        f"{len(record['seeds'])} seeds of `--mode adapter` on the bundled backbone"
        + (f", `{record['options']}`" if record["options"] else "")
        + _said_of_data(record["first"])
        + f"; strict F1. {machine(record)}; commit `{record['commit'][:10]}`, {record['date']}."
        + (f" {record['note']}" if record["note"] else ""),
        "",
        "| what | dev | test |",
        "|---|---:|---:|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "Made by:",
        "",
        f"    {record['command']}",
        "",
    ]
    return "\n".join(lines)


def _said_of_data(first: list[int] | None) -> str:
    if first is None:
        return ""
    return ", on the first {:,} sentences of train, {:,} of dev and {:,} of test".format(*first)


def _spread(scores: list[float]) -> str:
    return f"{statistics.mean(scores):.3f} ± {statistics.stdev(scores):.3f}"


def _best(seeds: list[dict[str, Any]]) -> tuple[str, str]:
    return _both(max(seeds, key=lambda seed: float(seed["dev"])))


def _both(scores: dict[str, Any]) -> tuple[str, str]:
    return f"{scores['dev']:.3f}", f"{scores['test']:.3f}"


if __name__ == "__main__":
    main()
