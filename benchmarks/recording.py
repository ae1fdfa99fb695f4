"""Tuning through the command line, as a user would, and keeping what came out.

A record is a JSON file of one commit. Runs go one after another; one that was stopped is resumed.
"""

from __future__ import annotations

import datetime
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

_KEPT = (
    "task", "plan", "seed", "protocol", "backbone", "ledger", "hyperparameters", "metrics",
    "prefix", "timings", "memory", "padding_share", "notes",
)  # fmt: skip


def open_record(path: Path) -> dict[str, Any]:
    """Read the record at `path`, or begin one; leaves the program if it is of another commit."""
    begun = new_record()
    if path.exists():
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["commit"] == begun["commit"]:
            return record
        sys.exit(f"{path} was made at commit {record['commit']}: move it away first")
    return begun


def new_record() -> dict[str, Any]:
    """Begin a record of the commit that is checked out and the command that was typed."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    return {
        "commit": commit,
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.date.today().isoformat(),
        "runs": [],
    }


def adapterkit(*arguments: str) -> dict[str, Any]:
    """Run a command with ``--json`` and return what it prints; leaves the program if it fails."""
    program = Path(sys.executable).with_name("adapterkit")
    done = subprocess.run([str(program), *arguments, "--json"], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def tune(typed: str, folder: Path) -> dict[str, Any]:
    """Run a command that begins with ``adapterkit tune`` and return its ``run.json``.

    Args:
        typed: The command, without its run directory.
        folder: The run directory. A run that was stopped there is gone on with, and one that is
            finished is read.
    """
    if (folder / "run.json").exists() and not (folder / "state.json").exists():
        manifest: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return manifest
    print(typed, file=sys.stderr, flush=True)
    _, *arguments = shlex.split(typed)
    if (folder / "state.json").exists():
        arguments = ["tune", "--resume"]
    return adapterkit(*arguments, "--output", str(folder))


def is_recorded(record: dict[str, Any], typed: str) -> bool:
    """Whether the record holds the run of a command."""
    return any(run["command"] == typed for run in record["runs"])


def keep_run(record: dict[str, Any], typed: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Add to a record what is reported of a run, and return it."""
    record["hardware"] = manifest["hardware"]
    record["versions"] = manifest["versions"]
    run = {"command": typed, **{key: manifest[key] for key in _KEPT}}
    record["runs"].append(run)
    return run


def data_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """What is recorded of the data of a run."""
    return {"source": manifest["data"]["source"], "splits": manifest["data"]["splits"]}


def machine(record: dict[str, Any]) -> str:
    """The hardware of the runs in a few words."""
    hardware = record["hardware"]
    processor = f"{hardware['cores']} cores of {hardware['cpu']}"
    return f"{hardware['gpu']}, {processor}" if "gpu" in hardware else processor


def folder_name(*words: str) -> str:
    """A name for a run directory from what was typed, such as ``bc5cdr-mode-full-epochs-2``."""
    parts = [part for word in words for part in shlex.split(word)]
    return "-".join(parts).replace("--", "").replace("/", "_")


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record to its file."""
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is never there in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
