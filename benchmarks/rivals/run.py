"""MiniALBERT, relaxed recursion, Kronecker, MPO and LadaBERT from one teacher, side by side.

    python benchmarks/rivals/run.py --runs runs/rivals --output benchmarks/results/rivals.json

Every student of `students.yaml` is distilled by `recipe.yaml`, then tuned in full and by adapters
on the first sentences of two corpora, as the teacher is. What is finished is kept: typed again, the
command goes on where it was stopped, and the record is of what there is. Beside it stands a
Markdown table.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from first_sentences import write_first
from recording import new_record, write_record, write_text
from rivals.measures import measure_students
from rivals.table import as_markdown
from rivals.taught import run_taught

HERE = Path(__file__).resolve().parent
TEACHER = "minilm-l6"
TASKS = ("bc5cdr", "ncbi_disease")
PLANS = ("full", "adapter")


def main() -> None:
    """Make what is missing, and write record and table."""
    options = _options()
    students = yaml.safe_load((HERE / "students.yaml").read_text(encoding="utf-8"))
    chosen = {name: s for name, s in students.items() if name.split("-")[1] in options.sizes}
    if not options.only_record:
        for name, student in chosen.items():
            _make(name, student, options)
        for size in options.sizes:
            names = [name for name in chosen if name.endswith(f"-{size}")]
            backbones = [str((options.runs / name).resolve()) for name in names]
            _run_suite(size, [TEACHER] if size == "100" else backbones, options)
        epochs = ["--epochs", str(options.epochs)]
        run_taught(options.runs, list(chosen), options.taught, options.seeds, epochs, _adapterkit)
    record = new_record()
    record["settings"] = {
        "sentences": options.sentences,
        "dev": options.dev,
        "test": options.test,
        "epochs": options.epochs,
        "note": options.note,
    }
    finished = [name for name in chosen if (options.runs / name / "card.json").is_file()]
    record["students"] = measure_students([options.runs / name for name in finished], options.runs)
    record["runs"] = _scores(options)
    write_record(options.output, record)
    write_text(options.output.with_suffix(".md"), as_markdown(record))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/rivals"))
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument(
        "--sizes",
        nargs="+",
        choices=["100", "25", "12"],
        default=["100", "25", "12"],
        help="per cent of the teacher; 100 is the teacher itself",
    )
    parser.add_argument("--tokens", type=int, help="word pieces to distil on")
    parser.add_argument("--sentences", type=int, default=400, help="of train")
    parser.add_argument("--dev", type=int, default=150)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--taught",
        nargs="+",
        choices=TASKS,
        default=[],
        help="tasks for which to tune in full beside the tuned teacher too",
    )
    parser.add_argument("--note", help="what a reader must know of these runs")
    parser.add_argument("--only-record", action="store_true", help="write what there is")
    return parser.parse_args()


def _make(name: str, student: dict[str, Any], options: argparse.Namespace) -> None:
    folder = options.runs / name
    if (folder / "card.json").is_file():
        return
    if (folder / "state.json").is_file():
        _adapterkit("distill", "--resume", "--output", str(folder))
        return
    settings = dict(student.get("student", {}))
    if method := student.get("compress"):
        start = options.runs / f"start-{name}"
        target = str(int(name.split("-")[1]) / 100)
        if not start.exists():
            _adapterkit(
                "backbones", "compress", "--method", method, "--target", target,
                "--prune", "later", "--output", str(start),
            )  # fmt: skip
        settings["backbone"] = str(start.resolve())
    asked = [f"name={name}", f"student={json.dumps(settings)}"]
    tokens = ["--tokens", str(options.tokens)] if options.tokens else []
    sets = [part for setting in asked for part in ("--set", setting)]
    _adapterkit("distill", str(HERE / "recipe.yaml"), *sets, *tokens, "--output", str(folder))


def _run_suite(size: str, backbones: list[str], options: argparse.Namespace) -> None:
    folder = options.runs / f"suite-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    counts = {"train": options.sentences, "dev": options.dev, "test": options.test}
    suite = {
        "name": f"rivals-{size}",
        "tasks": [str(write_first(task, folder / task, counts).resolve()) for task in TASKS],
        "plans": list(PLANS),
        "backbones": backbones,
        "seeds": options.seeds,
        "options": {"epochs": options.epochs},
    }
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(suite), encoding="utf-8")
    output = options.runs / f"cells-{size}"
    _adapterkit(
        "bench", str(path), "--jobs", str(options.jobs), "--output", str(output), "--no-measure"
    )


def _scores(options: argparse.Namespace) -> list[dict[str, Any]]:
    found = []
    paths = [*options.runs.glob("cells-*/cells/*/run/run.json")]
    for path in sorted([*paths, *options.runs.glob("taught/*/run.json")]):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found.append(
            {
                "student": Path(manifest["backbone"]["id"]).name,
                "fingerprint": manifest["backbone"]["fingerprint"],
                "task": manifest["task"].removesuffix("-first"),
                "plan": _plan(manifest),
                "seed": manifest["seed"],
                "trainable": manifest["ledger"]["trainable"],
                "dev": manifest["metrics"]["dev"]["score"],
                "test": manifest["metrics"]["test"]["score"],
                "train_seconds": manifest["timings"]["train_seconds"],
            }
        )
    return found


def _plan(manifest: dict[str, Any]) -> str:
    if "teacher" in manifest:
        return "full, taught"
    return "full" if manifest["plan"].endswith("full") else "adapter"


def _adapterkit(*arguments: str) -> None:
    print("adapterkit", shlex.join(arguments), file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "adapterkit", *arguments], check=True)


if __name__ == "__main__":
    main()
