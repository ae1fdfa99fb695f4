"""Pushes packages that differ in their names, until there are enough: run by test_store.

python pusher.py PACKAGE STORE PREFIX COUNT
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from adapterkit.runs.sealing import digest
from adapterkit.sharing.index import read_index
from adapterkit.sharing.store import Store


def main() -> None:
    """Push what the store lacks, and say each name once it is there."""
    package, folder, prefix, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "package"
        shutil.copytree(package, copy)
        for number in range(int(count)):
            name = f"{prefix}@n{number}"
            if name in read_index(folder).packages:
                continue
            content = json.loads((copy / "adapterkit.json").read_text(encoding="utf-8"))
            content["name"] = name
            content["digest"] = digest(content)
            (copy / "adapterkit.json").write_text(json.dumps(content), encoding="utf-8")
            Store(folder).push(copy)
            print(name, flush=True)


if __name__ == "__main__":
    main()
