from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "datasets", "evaluate", "sklearn", "seqeval", "pyarrow", "pandas")


def test_tasks_import_nothing_heavy_until_it_is_needed() -> None:
    rooms = "check config decoding encoding registry scoring segmentation sources"
    imports = "\n".join(f"import adapterkit.tasks.{name}" for name in rooms.split())
    code = f"{imports}\nimport sys\nprint(sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
