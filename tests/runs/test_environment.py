import json
import subprocess
import sys

from adapterkit.runs import environment


def test_versions_import_nothing_heavy():
    script = (
        "import sys, json; from adapterkit.runs.environment import versions, hardware;"
        "v = versions(); h = hardware();"
        "print(json.dumps([v, h, sorted({'torch', 'transformers', 'numpy'} & set(sys.modules))]))"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    versions, hardware, heavy = json.loads(output)
    assert heavy == []
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"adapters", "transformers", "torch", "numpy"} <= versions.keys()
    assert hardware["cores"] >= 1
    assert hardware["memory_bytes"] > 1 << 28
    assert hardware["cpu"]


def test_peak_memory_is_this_process_and_does_not_fall():
    before = environment.peak_memory_bytes()
    block = bytearray(b"x" * (64 << 20))
    during = environment.peak_memory_bytes()
    del block
    assert before > 1 << 20
    assert environment.peak_memory_bytes() >= during >= before


def test_peak_memory_grows_with_what_is_held():
    script = (
        "from adapterkit.runs.environment import peak_memory_bytes as peak;"
        "before = peak(); block = bytearray(b'x' * (128 << 20)); print(peak() - before)"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert 100 << 20 < int(output) < 400 << 20
