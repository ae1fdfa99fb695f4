"""What leaving padding out, and computing in bfloat16, save in a training update.

    python benchmarks/updates.py --output benchmarks/results/updates.json

The same updates on BC5CDR's first sentences in several ways, which take turns, with other batches
in each round, as in training; and how much of the batches of each task is padding.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from part import write_part
from recording import machine, new_record, write_record, write_text

from adapterkit.backbones.fusing import fused_updates
from adapterkit.backbones.loading import load_backbone
from adapterkit.runs.environment import hardware, versions
from adapterkit.runs.progress import Silence
from adapterkit.students.throughput import matrix_product_rate
from adapterkit.tasks.encoding import encode
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.sources import load_data
from adapterkit.tuning.batches import Collator, TokenBatches, padding_share
from adapterkit.tuning.prepare import prepare
from adapterkit.tuning.request import Request
from adapterkit.tuning.trainer import ROW_MULTIPLE

WAYS: dict[str, tuple[bool, int, torch.dtype | None]] = {
    "as by default": (False, 1, None),
    "without padding": (True, 1, None),
    "in bf16": (True, ROW_MULTIPLE, torch.bfloat16),
    "in bf16, padded": (False, 1, torch.bfloat16),
}
TASKS = ("bc5cdr", "ncbi_disease", "chemprot", "hoc", "rct_sections")
BUDGETS = (512, 4096, 16384)


def main() -> None:
    """Time the ways, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--plans", nargs="+", default=["adapter", "full"])
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--note", help="what a reader must know of this measurement")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    record = new_record() | {"hardware": hardware(), "versions": versions()}
    record["rates"] = {
        str(dtype).removeprefix("torch."): matrix_product_rate(torch.device("cpu"), dtype)
        for dtype in (torch.float32, torch.bfloat16)
    }
    record["padding"] = [_padding(task) for task in TASKS]
    with tempfile.TemporaryDirectory() as folder:
        task = write_part(Path(folder) / "part", 320, dev=8, test=8)
        record["runs"] = [_measure(plan, task, options) for plan in options.plans]
    if options.note:
        record["note"] = options.note
    write_record(options.output, record)
    write_text(options.output.with_suffix(".md"), _page(record))


def _padding(name: str) -> dict[str, Any]:
    task, tokenizer = load_task(name), load_backbone("bundled").tokenizer
    examples = load_data(task, "auto", ("train",)).splits["train"][:6000]
    encoded = encode(task, examples, tokenizer, task.max_length)
    lengths = [len(window.input_ids) for window in encoded.windows]
    shares, filled = {}, {}
    for budget in BUDGETS:
        batches = list(TokenBatches(lengths, budget, 0, 1))
        shares[str(budget)] = round(padding_share(batches, lengths), 4)
        filled[str(budget)] = round(sum(lengths) / len(batches) / budget, 3)
    return {"task": name, "windows": len(lengths), "padding": shares, "filled": filled}


def _measure(plan: str, task: Path, options: argparse.Namespace) -> dict[str, Any]:
    request = Request(task=str(task), plan=plan, data=str(task.parent), epochs=1)
    prepared = prepare(request, Silence())
    model, train = prepared.applied.model.train(), prepared.splits["train"]
    encoder = model.base_model.encoder
    lengths = [len(window.input_ids) for window in train.encoded.windows]
    cut = TokenBatches(lengths, prepared.settings.batch_tokens, 0, options.rounds + 1)
    collate = Collator(train.task, train.encoded, train.pad_token_id)
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    with fused_updates(model):
        for cut.epoch in range(options.rounds + 1):
            batches = [collate(batch) for batch in list(cut)[: options.updates]]
            for way, how in WAYS.items():
                encoder.unpads, encoder.row_multiple, encoder.training_dtype = how
                started = time.perf_counter()
                for batch in batches:
                    model(**batch).loss.backward()
                    model.zero_grad()
                if cut.epoch > 0:
                    spent[way].append(time.perf_counter() - started)
    return {"plan": plan, "updates": len(batches), "seconds": spent}


def _page(record: dict[str, Any]) -> str:
    rates = ", ".join(f"{rate / 1e9:,.0f} in {name}" for name, rate in record["rates"].items())
    lines = [
        "# What leaving padding out and bfloat16 save in an update",
        "",
        f"Commit `{record['commit'][:10]}`, {record['date']}, {machine(record)}, "
        f"threads: {record['hardware']['threads']}; square matrix products: {rates} GFLOP/s; "
        f"{record['runs'][0]['updates']} updates of the default batch, the ways taking turns, "
        f"medians of {len(record['runs'][0]['seconds']['in bf16'])} rounds.",
        *([record["note"]] if "note" in record else []),
        "",
        "| plan | " + " | ".join(f"{way} | " for way in WAYS) + "|",
        "|---|" + "---:|---:|" * len(WAYS),
    ]
    for run in record["runs"]:
        medians = {way: statistics.median(seconds) for way, seconds in run["seconds"].items()}
        base = medians["as by default"]
        cells = " | ".join(f"{found:.2f} s | {base / found:.2f}x" for found in medians.values())
        lines.append(f"| `{run['plan']}` | {cells} |")
    heads = [f"{budget:,} word pieces" for budget in BUDGETS]
    lines += [
        "",
        "Padding in batches of training, and how much of the budget they hold:",
        "",
        "| task | " + " | ".join(heads) + " |",
        "|---|" + "---:|" * len(heads),
    ]
    for found in record["padding"]:
        pairs = zip(found["padding"].values(), found["filled"].values(), strict=True)
        lines.append(
            f"| {found['task']} | " + " | ".join(f"{p:.1%}, {f:.0%}" for p, f in pairs) + " |"
        )
    return "\n".join([*lines, "", "Made by:", "", f"    {record['command']}", ""])


if __name__ == "__main__":
    main()
