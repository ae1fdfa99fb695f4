"""Times adapterkit beside its peers on the same texts, in turn, and writes a record and a table.

    python benchmarks/speed/run.py --output benchmarks/results/speed.json

Typed again, it goes on where it was stopped; `--only` and more `--trials` add to the record.
Every trial is a process of its own, from its start to its end: loading, encoding, training, and
predicting dev and test. Trials of different competitors alternate, and medians are reported.
adapterkit begins each trial with an empty prefix cache, and scores dev after every epoch, which the
peers do not; so dev is small. Where there is a GPU, all of them train on it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpus import read_corpus
from first_sentences import write_first
from table import speed_table

from adapterkit.backbones.exporting import export_albert
from adapterkit.backbones.loading import load_backbone
from adapterkit.runs.environment import hardware, versions
from adapterkit.students.throughput import matrix_product_rate

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Competitor:
    """Something that is timed.

    Args:
        name: What it is called in the table.
        command: What runs it: a script beside this one, or ``adapterkit``.
        options: Its options.
    """

    name: str
    command: str
    options: str


COMPETITORS = (
    Competitor("nlpie's protocol, layer-wise adapters", "nlpie.py", "--lr 1e-3"),
    Competitor("AdapterHub, bottlenecks", "adapterhub.py", "--lr 2e-3"),
    Competitor("AdapterHub, bottlenecks on 3-5", "adapterhub.py", "--lr 2e-3 --steps 3-5"),
    Competitor("PEFT, LoRA", "peft_lora.py", "--lr 2e-3"),
    Competitor("PEFT, LoRA on 3-5", "peft_lora.py", "--lr 2e-3 --steps 3-5"),
    Competitor("adapterkit, layer-wise adapters", "adapterkit", "--mode layerwise"),
    Competitor("adapterkit, bottlenecks", "adapterkit", "--mode adapter"),
    Competitor("adapterkit, bottlenecks, bf16", "adapterkit", "--mode adapter --precision bf16"),
    Competitor("adapterkit, bottlenecks on 3-5", "adapterkit", "--mode adapter --steps 3-5"),
    Competitor(
        "adapterkit, bottlenecks on 3-5, bf16",
        "adapterkit",
        "--mode adapter --steps 3-5 --precision bf16",
    ),
    Competitor(
        "adapterkit, bottlenecks on 3-5, no cache",
        "adapterkit",
        "--mode adapter --steps 3-5 --prefix-cache off",
    ),
    Competitor("adapterkit, bottlenecks on 5", "adapterkit", "--mode adapter --steps 5"),
    Competitor(
        "adapterkit, bottlenecks on 5, no cache",
        "adapterkit",
        "--mode adapter --steps 5 --prefix-cache off",
    ),
    Competitor(
        "adapterkit, LoRA",
        "adapterkit",
        "--mode 'lora(r=8,alpha=16,attn=qkv,intermediate=true,output=true)'",
    ),
    Competitor(
        "adapterkit, LoRA on 3-5",
        "adapterkit",
        "--mode 'lora(r=8,alpha=16,attn=qkv,intermediate=true,output=true)' --steps 3-5",
    ),
    Competitor("adapterkit, full", "adapterkit", "--mode full"),
    Competitor("adapterkit, side", "adapterkit", "--mode side"),
)
_IDLE = """
import adapterkit.tuning.tune
from adapterkit.backbones.loading import load_backbone
from adapterkit.runs.environment import peak_memory_bytes
backbone = load_backbone("bundled")
print(peak_memory_bytes())
"""


def main() -> None:
    """Run every trial that the record lacks, and write it after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--sentences", type=int, default=600, help="of train and test")
    parser.add_argument("--dev", type=int, default=150, help="sentences of dev")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16, help="sentences a batch, on average")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--trials", type=int, default=5, help="of each competitor")
    parser.add_argument("--note", help="what a reader must know of this measurement")
    parser.add_argument("--only", nargs="+", help="competitors whose names hold one of these")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        batch_tokens = _prepare(work, options)
        record = _open_record(options, batch_tokens)
        if options.note:
            record["note"] = options.note
        done = {(trial["competitor"], trial["seed"]) for trial in record["trials"]}
        for trial in range(options.trials):
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            rate = matrix_product_rate(device, torch.float32)
            record["matrix_product_rates"].append(rate)
            for competitor in COMPETITORS:
                if options.only and not any(part in competitor.name for part in options.only):
                    continue
                if (competitor.name, trial) in done:
                    continue
                result = _run(competitor, options, work, batch_tokens, trial)
                record["trials"].append({"competitor": competitor.name, "seed": trial, **result})
                print(f"{competitor.name}: {result['whole_seconds']:.1f} s", file=sys.stderr)
                _write(options.output, json.dumps(record, indent=1) + "\n")
                _write(options.output.with_suffix(".md"), speed_table(record))


def _prepare(work: Path, options: argparse.Namespace) -> int:
    """Write texts and backbone; the token budget whose batches hold as many sentences."""
    torch.set_num_threads(options.threads)
    count = options.sentences
    write_first("bc5cdr", work, {"train": count, "dev": options.dev, "test": count})
    backbone = load_backbone("bundled")
    export_albert(backbone, work / "albert")
    lengths = [
        len(backbone.tokenizer(words, is_split_into_words=True)["input_ids"])
        for words, _ in read_corpus(work)["train"]
    ]
    return round(options.batch * sum(lengths) / len(lengths))


def _open_record(options: argparse.Namespace, batch_tokens: int) -> dict[str, Any]:
    """Begin a record, or go on with one of the same commit and settings."""
    begun = _new_record(options, batch_tokens)
    if not options.output.exists():
        return begun
    record: dict[str, Any] = json.loads(options.output.read_text(encoding="utf-8"))
    if any(record[key] != begun[key] for key in ("commit", "settings", "hardware")):
        sys.exit(f"{options.output} is of another commit, machine or settings: move it away first")
    if begun["command"] not in record["command"].splitlines():
        record["command"] += f"\n{begun['command']}"
    return record


def _new_record(options: argparse.Namespace, batch_tokens: int) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    return {
        "commit": commit,
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.date.today().isoformat(),
        "hardware": hardware(),
        "versions": versions(),
        "settings": {
            name: getattr(options, name)
            for name in ("sentences", "dev", "epochs", "batch", "threads")
        }
        | {"batch_tokens": batch_tokens},
        "idle_bytes": int(subprocess.check_output([sys.executable, "-c", _IDLE])),
        "matrix_product_rates": [],
        "trials": [],
    }


def _run(
    competitor: Competitor, options: argparse.Namespace, work: Path, batch_tokens: int, trial: int
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        # An empty cache for each trial: what it saves must be earned in it.
        environment = {
            **os.environ,
            "XDG_CACHE_HOME": folder,
            "OMP_NUM_THREADS": str(options.threads),
            "HF_HUB_OFFLINE": "1",
        }
        own = competitor.command == "adapterkit"
        typed = (
            _own_command(competitor, options, work, batch_tokens, trial, Path(folder) / "run")
            if own
            else _peer_command(competitor, options, work, trial)
        )
        started, spent = time.perf_counter(), _spent_by_children()
        done = subprocess.run(typed, stdout=subprocess.PIPE, env=environment, check=False)
        whole, processor = time.perf_counter() - started, _spent_by_children() - spent
        if done.returncode:
            sys.exit(f"{shlex.join(typed)} failed")
        found = json.loads(done.stdout.splitlines()[-1])
        found = _own_result(found, Path(folder) / "run") if own else found
    return {"whole_seconds": whole, "processor_seconds": processor, **found}


def _spent_by_children() -> float:
    """Processor seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peer_command(
    competitor: Competitor, options: argparse.Namespace, work: Path, trial: int
) -> list[str]:
    return [
        sys.executable,
        str(HERE / competitor.command),
        *("--work", str(work), "--epochs", str(options.epochs), "--batch", str(options.batch)),
        *("--threads", str(options.threads), "--seed", str(trial)),
        *shlex.split(competitor.options),
    ]


def _own_command(
    competitor: Competitor,
    options: argparse.Namespace,
    work: Path,
    batch_tokens: int,
    trial: int,
    output: Path,
) -> list[str]:
    return [
        *(sys.executable, "-m", "adapterkit", "tune", "--json", "--output", str(output)),
        *("--task", str(work / "bc5cdr-first.yaml"), "--data", str(work)),
        *("--epochs", str(options.epochs), "--batch-tokens", str(batch_tokens)),
        *("--threads", str(options.threads), "--seed", str(trial)),
        *shlex.split(competitor.options),
    ]


def _own_result(manifest: dict[str, Any], output: Path) -> dict[str, Any]:
    """Of ``run.json`` what the peers report too, and when which dev score was reached."""
    timings, metrics = manifest["timings"], manifest["metrics"]
    log = [json.loads(line) for line in (output / "log.jsonl").read_text("utf-8").splitlines()]
    return {
        "seconds": {
            "train": timings["train_seconds"],
            "cache": timings["cache_seconds"],
            "evaluate": timings["evaluate_seconds"],
        },
        "scores": {split: metrics[split]["score"] for split in ("dev", "test")},
        "trainable": manifest["ledger"]["trainable"],
        "peak_bytes": manifest["memory"]["peak_bytes"],
        "curve": _curve(log),
    }


def _curve(log: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Seconds of training and dev score after every epoch; a save follows each score."""
    curve, score = [], None
    for line in log:
        score = line.get("eval_score", score)
        if score is not None and "train_seconds" in line:
            curve.append((line["train_seconds"], score))
            score = None
    return curve


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
