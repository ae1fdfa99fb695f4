"""The record of a suite that was run: its runs, and its table as `adapterkit compare` prints it.

adapterkit bench benchmarks/suites/processor.yaml --jobs 2 --output runs/processor
python benchmarks/suite_record.py runs/processor --output benchmarks/results/processor.json

Beside the record stands a Markdown page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from recording import keep_run, machine, new_record, write_record, write_text


def main() -> None:
    """Write the record, and the table beside it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "folder", type=Path, help="the suite's folder, or one with some of its cells"
    )
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--note", help="what a reader must know of these runs")
    options = parser.parse_args()
    record = new_record()
    if options.note:
        record["note"] = options.note
    for path in sorted(options.folder.glob("cells/*/run/run.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        keep_run(record, manifest["command"], manifest)
    record["table"] = json.loads(_compared(options.folder, "json"))
    write_record(options.output, record)
    title = f"# The suite `{options.folder.name}`"
    facts = f"Commit `{record['commit'][:10]}`, {record['date']}, {machine(record)}."
    note = [record["note"]] if "note" in record else []
    page = [title, "", " ".join([facts, *note]), "", _compared(options.folder, "markdown")]
    made = [record["command"]]
    described = options.folder / "suite.json"
    if described.is_file():
        suite = json.loads(described.read_text(encoding="utf-8"))
        typed, _, _ = suite["command"].partition(" --output")
        made = [f"{typed} --output {options.folder}", *made]
    page += ["Made by:", "", *(f"    {command}" for command in made), ""]
    write_text(options.output.with_suffix(".md"), "\n".join(page))


def _compared(folder: Path, how: str) -> str:
    program = Path(sys.executable).with_name("adapterkit")
    command = [str(program), "compare", str(folder), "--format", how]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
