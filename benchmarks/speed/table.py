"""The record of timed trials as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median, stdev
from typing import Any


def speed_table(record: dict[str, Any]) -> str:
    """Medians over the trials of each competitor, and ratios to the first one."""
    trials: dict[str, list[dict[str, Any]]] = {}
    for trial in record["trials"]:
        trials.setdefault(trial["competitor"], []).append(trial)
    settings, first = record["settings"], next(iter(trials))
    base = _medians(trials[first])
    rates = [rate / 1e9 for rate in record["matrix_product_rates"]]
    lines = [
        "# Whole runs beside those of peers",
        "",
        f"{settings['sentences']} sentences of bc5cdr's train and test, {settings['dev']} of dev,"
        f" {settings['epochs']} epochs, {settings['batch']} sentences a batch"
        f" ({settings['batch_tokens']} word pieces for adapterkit), {settings['threads']} threads"
        f" of {_machine(record['hardware'])}; commit `{record['commit'][:10]}`, {record['date']}."
        f" Square matrix products ran at {min(rates):.0f} to {max(rates):.0f} GFLOP/s between the"
        " trials."
        + (f" {record['note']}" if "note" in record else "")
        + " Medians; times are those of whole processes (by the clock, then the processor's),"
        f" of their training, and of predicting and scoring dev and test; ratios are to {first}.",
        "",
        "| what ran | learns | whole run | | processor | | training | | predicting | | test F1"
        " | peak memory | n |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(name, found, base) for name, found in trials.items()),
        "",
        *_time_to_score(trials, first),
        *_memory(trials, record["idle_bytes"]),
        "Made by:",
        "",
        *(f"    {command}" for command in record["command"].splitlines()),
        "",
    ]
    return "\n".join(lines)


def _machine(hardware: dict[str, Any]) -> str:
    return " and ".join(hardware[kind] for kind in ("cpu", "gpu") if hardware.get(kind))


def _row(name: str, trials: Sequence[dict[str, Any]], base: dict[str, float]) -> str:
    found = _medians(trials)
    times = " | ".join(
        f"{found[part]:.1f} s | {base[part] / found[part]:.1f}x"
        for part in ("whole", "processor", "train", "evaluate")
    )
    scores = [trial["scores"]["test"] for trial in trials]
    spread = f" ± {stdev(scores):.3f}" if len(scores) > 1 else ""
    peak = median(trial["peak_bytes"] for trial in trials) / 2**20
    return (
        f"| {name} | {trials[0]['trainable']:,} | {times} | {mean(scores):.3f}{spread}"
        f" | {peak:.0f} MiB | {len(trials)} |"
    )


def _medians(trials: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {
        "whole": median(trial["whole_seconds"] for trial in trials),
        "processor": median(trial["processor_seconds"] for trial in trials),
        "train": median(_training(trial) for trial in trials),
        "evaluate": median(_evaluation(trial) for trial in trials),
    }


def _training(trial: dict[str, Any]) -> float:
    """Seconds of training, with what was computed once for it."""
    return float(trial["seconds"]["train"] + trial["seconds"].get("cache", 0.0))


def _evaluation(trial: dict[str, Any]) -> float:
    """Seconds of both splits: adapterkit reports them together."""
    return float(
        sum(seconds for name, seconds in trial["seconds"].items() if name.startswith("evaluate"))
    )


def _time_to_score(trials: dict[str, list[dict[str, Any]]], first: str) -> list[str]:
    """When each of adapterkit's plans first had the dev score that the first competitor ended with.

    A time is that of the whole process without the training after that epoch.
    """
    goal = median(trial["scores"]["dev"] for trial in trials[first])
    whole = median(trial["whole_seconds"] for trial in trials[first])
    rows = []
    for name, found in trials.items():
        times = [time for trial in found if (time := _reached(trial, goal)) is not None]
        if "curve" not in found[0]:
            continue
        # With trials that never reached it, the median is only known where most did.
        reached = len(times) > len(found) / 2
        told = f"{median(times):.1f} s | {whole / median(times):.1f}x" if reached else "- | -"
        rows.append(f"| {name} | {told} | {len(times)} of {len(found)} |")
    return [
        f"Time to the dev F1 of {goal:.3f} that {first} ended with after {whole:.1f} s:",
        "",
        "| what ran | time | | reached it |",
        "|---|---:|---:|---:|",
        *rows,
        "",
    ]


def _memory(trials: dict[str, list[dict[str, Any]]], idle: int) -> list[str]:
    """What adapterkit's plans take above a process that has only loaded code and backbone."""
    taken = {
        name: median(trial["peak_bytes"] for trial in found) - idle
        for name, found in trials.items()
        if "curve" in found[0]
    }
    whole = taken.get("adapterkit, full")
    if whole is None:
        return []
    return [
        f"Peak memory above the {idle / 2**20:.0f} MiB of a process that has loaded the libraries"
        " and the backbone, and its share of full fine-tuning's:",
        "",
        "| what ran | above idle | share |",
        "|---|---:|---:|",
        *(
            f"| {name} | {bytes_ / 2**20:.0f} MiB | {bytes_ / whole:.0%} |"
            for name, bytes_ in taken.items()
        ),
        "",
    ]


def _reached(trial: dict[str, Any], goal: float) -> float | None:
    for seconds, score in trial.get("curve", ()):
        if score >= goal:
            after = trial["seconds"]["train"] - seconds
            return float(trial["whole_seconds"] - after - trial["seconds"]["evaluate"])
    return None
