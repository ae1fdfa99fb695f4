"""The table of rival students."""

from __future__ import annotations

import statistics
from typing import Any

PLANS = ("full", "full, taught", "adapter")
TITLES = {"bc5cdr": "BC5CDR", "ncbi_disease": "NCBI-disease"}


def as_markdown(record: dict[str, Any]) -> str:
    """The record as a Markdown page."""
    settings = record["settings"]
    columns = sorted({(run["task"], run["plan"]) for run in record["runs"]})
    columns.sort(key=lambda column: (column[0], PLANS.index(column[1])))
    heads = [f"{TITLES.get(task, task)}, {plan}" for task, plan in columns]
    lines = [
        "# Rival students of one teacher",
        "",
        f"Distilled from MiniLM-L6 on {_tokens(record)} word pieces each by one recipe, then tuned "
        f"on {settings['sentences']} sentences for {settings['epochs']} epochs; strict F1 on "
        f"{settings['test']} sentences of test, mean ± standard deviation (n). Parameters without "
        "heads, those pruned left out; bytes as stored in half precision; operations of a text of "
        "128 word pieces, products with zeros counted; latency of the same on one thread, median. "
        f"Commit `{record['commit'][:10]}`, {record['date']}."
        + (f" {settings['note']}" if settings["note"] else ""),
        "",
        "| student | parameters | of the teacher | bytes | operations a token | latency "
        "| cosine to the teacher | " + " | ".join(heads) + " |",
        "|---|---:|---:|---:|---:|---:|---:|" + "---:|" * len(heads),
    ]
    whole = record["students"][0]["parameters"]
    for student in record["students"]:
        cells = [_score(record, student["student"], *column) for column in columns]
        lines.append(f"| {' | '.join([*_facts(student, whole), *cells])} |")
    return "\n".join([*lines, "", "Made by:", "", f"    {record['command']}", ""])


def _facts(student: dict[str, Any], whole: int) -> list[str]:
    cosines = student.get("scores", {}).get("cosines")
    return [
        student["student"],
        f"{student['parameters']:,}",
        f"{student['parameters'] / whole:.1%}",
        "-" if student["bytes"] is None else f"{student['bytes'] / 1e6:.1f} MB",
        f"{student['flops_per_token'] / 1e6:.1f} M",
        f"{student['latency_ms']:.1f} ms",
        f"{statistics.mean(cosines):.3f}" if cosines else "-",
    ]


def _score(record: dict[str, Any], student: str, task: str, plan: str) -> str:
    wanted = (student, task, plan)
    runs = [run for run in record["runs"] if (run["student"], run["task"], run["plan"]) == wanted]
    scores = [run["test"] for run in runs]
    if not scores:
        return "-"
    spread = f" ± {statistics.stdev(scores):.3f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.3f}{spread} ({len(scores)})"


def _tokens(record: dict[str, Any]) -> str:
    seen = {student["tokens_seen"] for student in record["students"] if "tokens_seen" in student}
    return " or ".join(f"{count:,}" for count in sorted(seen))
