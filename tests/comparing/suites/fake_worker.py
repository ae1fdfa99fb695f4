"""Stands in for the worker of a cell: leaves a run without training one.

    python fake_worker.py FOLDER THREADS

What it does is said in the folder's ``cell.json`` by the plan: ``fail`` ends with an error;
``slow`` goes on until it is stopped softly and, started again, finishes; ``die`` kills itself;
``mend`` fails unless a file ``mended`` lies beside the folder; anything else takes a moment and
finishes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path


def manifest(cell: dict, score: float = 0.5) -> dict:
    """A `run.json` as small as the schema allows."""
    request, inputs = cell["request"], cell["inputs"]
    return {
        "schema": "adapterkit.run.v1",
        "status": "finished",
        "created": "2026-01-01T00:00:00+00:00",
        "command": cell["command"],
        "task": inputs["task"]["name"],
        "labels": ["A"],
        "plan": request["plan"],
        "seed": request["seed"],
        "sample": False,
        "data": {"source": "dir", "location": "/data", "splits": {}},
        "backbone": {"id": request["backbone"], "fingerprint": inputs["backbone"]},
        "ledger": dict.fromkeys(
            ("backbone", "layerwise", "task", "head", "trainable", "shipped_bytes"), 1
        ),
        "hyperparameters": {},
        "metrics": {"dev": {"score": score}, "test": {"score": score}},
        "timings": {"train_seconds": 1.0, "evaluate_seconds": 0.5, "cache_seconds": 0.25},
        "memory": {"peak_bytes": 1},
        "versions": {},
        "hardware": {},
    }


def main() -> int:
    folder, threads = Path(sys.argv[1]), sys.argv[2]
    # As in the worker itself: Ray hands on that Ctrl-C is blocked.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_stop_when_alone, daemon=True).start()
    cell = json.loads((folder / "cell.json").read_text())
    with open(folder / "attempts", "a") as attempts:
        attempts.write(f"{time.time()} {threads} {os.environ['OMP_NUM_THREADS']} {os.getppid()}\n")
    resumed = (folder / "run" / "state.json").exists()
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "state.json").write_text("{}")
    plan = cell["plan"]
    if plan == "fail" or (plan == "mend" and not (folder.parent / "mended").exists()):
        print("Error: something is wrong\n  where: there")
        return 2
    if plan == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        time.sleep(60.0 if plan == "slow" and not resumed else 0.3)
    except KeyboardInterrupt:
        (folder / "run" / "saved").touch()
        return 130
    (folder / "run" / "run.json").write_text(json.dumps(manifest(cell)))
    with open(folder / "attempts", "a") as attempts:
        attempts.write(f"{time.time()} ended\n")
    return 0


def _stop_when_alone() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
