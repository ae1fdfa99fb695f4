"""What a run ran on: library versions, hardware, memory."""

from __future__ import annotations

import functools
import platform
import sys
from importlib import metadata
from pathlib import Path

import psutil

_LIBRARIES = (
    "adapterkit",
    "adapters",
    "transformers",
    "torch",
    "tokenizers",
    "safetensors",
    "accelerate",
    "datasets",
    "evaluate",
    "numpy",
    "scikit-learn",
    "seqeval",
)


def versions() -> dict[str, str]:
    """Return the version of Python and of each library that shapes a result.

    Libraries that are not installed are left out. Nothing is imported.
    """
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        version = _version(name)
        if version is not None:
            found[name] = version
    return found


@functools.cache
def _version(library: str) -> str | None:
    # What is imported stays what it was, and reading the metadata of all takes long.
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def hardware() -> dict[str, str | int]:
    """Return processor, cores, memory in bytes, platform, and the GPU if PyTorch is loaded."""
    found: dict[str, str | int] = {
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count(logical=True) or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "platform": platform.platform(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name(0)
            found["gpus"] = torch.cuda.device_count()
    return found


def peak_memory_bytes() -> int:
    """Return the most resident memory this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux that one outlives exec and reports a larger parent's peak.
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
