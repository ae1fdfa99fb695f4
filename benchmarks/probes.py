"""Compares short distillations by the probes in their cards: dev scores only.

    python benchmarks/probes.py runs/e128-r32 runs/tied --output benchmarks/results/NAME.json

Nothing is run. Each folder is one that `adapterkit distill` left with ``evaluation.probe`` set: its
card says how it was made, with which command, and what linear probes of the frozen backbone
reached. Beside the record stands a Markdown table, best mean first.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from candidates import flattened, is_own, listed, row, shared_values
from recording import machine, write_record, write_text

_KEPT = (
    "recipe", "teacher", "corpus", "tokens_seen", "updates", "seconds", "parameters", "scores",
    "throughput", "command", "commit", "versions", "hardware", "fingerprint",
)  # fmt: skip


def main() -> None:
    """Read the cards and write record and table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("candidates", nargs="+", type=Path, help="folders of finished backbones")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--note", help="what a reader must know of these runs")
    options = parser.parse_args()
    cards = {folder.name: _card(folder) for folder in options.candidates}
    record = {"candidates": cards, **({"note": options.note} if options.note else {})}
    write_record(options.output, record)
    write_text(options.output.with_suffix(".md"), _table(record))


def _card(folder: Path) -> dict[str, Any]:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    return {key: card[key] for key in _KEPT if card.get(key) is not None}


def _table(record: dict[str, Any]) -> str:
    cards: dict[str, dict[str, Any]] = record["candidates"]
    recipes = {name: flattened(card["recipe"]) for name, card in cards.items()}
    shared = shared_values(list(recipes.values()))
    tasks = list(
        dict.fromkeys(task for card in cards.values() for task in card["scores"]["probes"])
    )
    commits = ", ".join(sorted({f"`{card['commit'][:10]}`" for card in cards.values()}))
    lines = [
        "# Candidates, by linear probes of the frozen backbone",
        "",
        f"Scores are of the dev splits. Commit {commits}, {machine(next(iter(cards.values())))}.",
        *([record["note"]] if "note" in record else []),
        "",
        row(
            "candidate", "recipe", "word pieces", "parameters", "embedding cosine",
            "held-out cosines", *tasks, "mean",
        ),
        row("---", "---", *["---:"] * 3, "---", *["---:"] * (len(tasks) + 1)),
    ]  # fmt: skip
    for name in sorted(cards, key=lambda name: -_mean(cards[name])):
        card = cards[name]
        scores = card["scores"]
        own = {key: value for key, value in recipes[name].items() if is_own(key, shared)}
        lines.append(
            row(
                name,
                listed(own),
                f"{card['tokens_seen']:,}",
                f"{card['parameters']:,}",
                f"{scores['embedding_cosine']:.3f}",
                " ".join(f"{value:.3f}" for value in scores["cosines"]),
                *(f"{scores['probes'][task]:.4f}" for task in tasks),
                f"{_mean(card):.4f}",
            )
        )
    commands = [f"    {card['command']}" for card in cards.values()]
    return "\n".join([*lines, "", "Made by:", "", *commands, ""])


def _mean(card: dict[str, Any]) -> float:
    return statistics.mean(card["scores"]["probes"].values())


if __name__ == "__main__":
    main()
