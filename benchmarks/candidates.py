"""Compares backbones by tuning them on several tasks: dev scores only.

    python benchmarks/candidates.py runs/relaxed32 runs/relaxed64 runs/tied \
      --output benchmarks/results/candidates.json

A candidate is the folder of a finished backbone, such as `adapterkit distill` leaves. Runs go one
after another through the command line, as a user would type them. A run that was recorded at the
same commit is not repeated; one that was stopped is resumed by typing the same again, and
candidates, tasks and seeds may be added. Test scores, by which nothing may be chosen, are not
kept. Beside the record stands a Markdown table, best mean first.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recording import (
    adapterkit,
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

TASKS = ("bc5cdr", "ncbi_disease", "hoc")
_FROM_CARD = ("recipe", "tokens_seen", "seconds", "scores", "commit")
_NOT_OF_THE_BACKBONE = ("log.jsonl", ".lock")
_UNKNOWN = "-"


def main() -> None:
    """Run what is missing; record and table are written after every run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("candidates", nargs="+", type=Path, help="folders of finished backbones")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--plan", default="--mode full", help="the options of the plan")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--options", default="", help="more options for every run")
    parser.add_argument("--note", help="what a reader must know of these runs")
    parser.add_argument("--runs", type=Path, default=Path("runs/candidates"))
    options = parser.parse_args()
    record = open_record(options.output)
    _check_settings(record, options)
    for folder in options.candidates:
        _add_candidate(record, folder, options.output)
    # Task by task, so that all candidates can be compared on the first ones early.
    for seed in options.seeds:
        for task in options.tasks:
            for folder in options.candidates:
                _record_run(record, options, folder, task, seed)
    _write(options.output, record)


def _check_settings(record: dict[str, Any], options: argparse.Namespace) -> None:
    """Rows of one table are tuned alike."""
    settings = {"plan": options.plan, "options": options.options}
    if record.setdefault("settings", settings) != settings:
        sys.exit(
            f"{options.output} has runs with {record['settings']}, not {settings}:"
            " name another file by --output"
        )
    record.setdefault("candidates", {})
    record.setdefault("data", {})
    if options.note:
        record["note"] = options.note


def _add_candidate(record: dict[str, Any], folder: Path, output: Path) -> None:
    """Describe a candidate, or check that it is still the one that was described."""
    shown = adapterkit("backbones", "show", str(folder))
    known = record["candidates"].get(folder.name)
    if known is None:
        record["candidates"][folder.name] = {
            "folder": str(folder),
            "fingerprint": shown["fingerprint"],
            "parameters": shown["parameters"],
            "bytes": sum(
                file.stat().st_size
                for file in folder.rglob("*")
                if file.is_file() and file.name not in _NOT_OF_THE_BACKBONE
            ),
            "card": _card(folder),
        }
    elif (known["folder"], known["fingerprint"]) != (str(folder), shown["fingerprint"]):
        sys.exit(
            f"{output} has a candidate {folder.name} already: {known['folder']},"
            f" {known['fingerprint']}; {folder} is {shown['fingerprint']}: rename one of them"
        )


def _card(folder: Path) -> dict[str, Any]:
    path = folder / "card.json"
    card = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {key: card[key] for key in _FROM_CARD if key in card}


def _record_run(
    record: dict[str, Any], options: argparse.Namespace, folder: Path, task: str, seed: int
) -> None:
    typed = (
        f"adapterkit tune --task {task} {options.plan} --backbone {shlex.quote(str(folder))}"
        f" --seed {seed} {options.options}"
    ).strip()
    if is_recorded(record, typed):
        return
    name = folder_name(task, options.plan, options.options)
    runs = options.runs / record["commit"][:10] / folder.name
    manifest = tune(typed, runs / f"{name}-s{seed}")
    # A run that was resumed may be of a backbone that stood in the folder before.
    expected = record["candidates"][folder.name]["fingerprint"]
    if (found := manifest["backbone"]["fingerprint"]) != expected:
        sys.exit(f"{runs / name}-s{seed} is a run of {found}, not of {expected}: move it away")
    run = keep_run(record, typed, manifest)
    run["candidate"] = folder.name
    run["metrics"] = {"dev": run["metrics"]["dev"]}
    splits = {"train", "dev"}
    data = data_of(manifest)
    data["splits"] = {split: data["splits"][split] for split in splits & data["splits"].keys()}
    if record["data"].setdefault(manifest["task"], data) != data:
        sys.exit(f"the data of {task} are not those of the runs in {options.output}")
    _write(options.output, record)


def _write(path: Path, record: dict[str, Any]) -> None:
    write_record(path, record)
    write_text(path.with_suffix(".md"), _table(record))


def _table(record: dict[str, Any]) -> str:
    candidates = record["candidates"]
    scores = {name: _dev_scores(record, name) for name in candidates}
    tasks = list(record["data"])
    recipes = {
        name: flattened(found["card"].get("recipe", {})) for name, found in candidates.items()
    }
    shared = shared_values(list(recipes.values()))
    lines = [
        "# Candidates, by their dev scores",
        "",
        f"Each tuned with `{_tuned(record)}`; a score is the mean over the seeds that were run,"
        f" {_seeds(record)}. Commit `{record['commit'][:10]}`, {record['date']},"
        f" {machine(record)}.",
        *_data_said(record),
        *([record["note"]] if "note" in record else []),
        "",
        *_in_common(shared),
        row(
            "candidate", "recipe", "word pieces", "minutes distilled", "held-out cosines",
            "parameters", "bytes", *tasks, "mean",
        ),
        row(*["---"] * 2, *["---:"] * 2, "---", *["---:"] * (len(tasks) + 3)),
    ]  # fmt: skip
    for name in sorted(candidates, key=lambda name: -_mean(scores[name], tasks)):
        found = candidates[name]
        card = found["card"]
        own = {k: value for k, value in recipes[name].items() if is_own(k, shared)}
        cosines = card.get("scores", {}).get("cosines", [])
        mean = _mean(scores[name], tasks)
        lines.append(
            row(
                name,
                listed(own),
                f"{card['tokens_seen']:,}" if "tokens_seen" in card else _UNKNOWN,
                f"{card['seconds'] / 60:.1f}" if "seconds" in card else _UNKNOWN,
                " ".join(f"{value:.3f}" for value in cosines) or _UNKNOWN,
                f"{found['parameters']:,}",
                f"{found['bytes']:,}",
                *(f"{scores[name][t]:.4f}" if t in scores[name] else _UNKNOWN for t in tasks),
                f"{mean:.4f}" if mean >= 0 else _UNKNOWN,
            )
        )
    return "\n".join([*lines, "", "Made by:", "", f"    {record['command']}", ""])


def _dev_scores(record: dict[str, Any], candidate: str) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for run in record["runs"]:
        if run["candidate"] == candidate:
            found.setdefault(run["task"], []).append(run["metrics"]["dev"]["score"])
    return {task: statistics.mean(scores) for task, scores in found.items()}


def _mean(scores: Mapping[str, float], tasks: Sequence[str]) -> float:
    """Over all tasks; -1 where one is still to be run, so that such a row stands last."""
    return statistics.mean(scores[task] for task in tasks) if set(tasks) <= scores.keys() else -1


def flattened(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested values by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            flattened(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
        )
    return flat


def shared_values(recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the recipes have in common; nothing where fewer than two candidates have one."""
    known = [recipe for recipe in recipes if recipe]
    if len(known) < 2:
        return {}
    return {
        key: value
        for key, value in known[0].items()
        if all(key in other and other[key] == value for other in known)
    }


def is_own(key: str, shared: Mapping[str, Any]) -> bool:
    """Whether a row says it: what differs or, where nothing can be compared, the student."""
    return key not in shared and key != "name" if shared else key.startswith("student.")


def _in_common(shared: Mapping[str, Any]) -> list[str]:
    student = {k: v for k, v in shared.items() if k.startswith("student.") and v is not None}
    return [f"What the recipes have in common: {listed(student)}.", ""] if student else []


def listed(values: Mapping[str, Any]) -> str:
    """Values as ``key=value``, comma-separated."""
    said = ", ".join(f"`{key}={json.dumps(value)}`" for key, value in values.items())
    return said.replace('"', "") or _UNKNOWN


def _tuned(record: dict[str, Any]) -> str:
    settings = record["settings"]
    return f"{settings['plan']} {settings['options']}".strip()


def _seeds(record: dict[str, Any]) -> str:
    return ", ".join(map(str, sorted({run["seed"] for run in record["runs"]})))


def _data_said(record: dict[str, Any]) -> list[str]:
    metrics = {run["task"]: run["metrics"]["dev"]["metric"] for run in record["runs"]}
    said = [f"{task}: {metrics[task]}" for task in record["data"]]
    lines = [f"Scores: {', '.join(said)}."]
    samples = [task for task, data in record["data"].items() if "sample" in str(data["source"])]
    if samples:
        lines.append(f"Of {', '.join(samples)} the bundled sample was used, which is no corpus.")
    return lines


def row(*cells: str) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
