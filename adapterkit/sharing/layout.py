"""Which files a package may hold, and where."""

from __future__ import annotations

import re
from typing import Final

MANIFEST_FILE: Final = "adapterkit.json"
CARD_FILE: Final = "README.md"
SIGNATURE_FILE: Final = "model.sig"
PLAN_FILE: Final = "plan.json"
HEAD_CONFIG_FILE: Final = "head/head_config.json"
ADAPTER_CONFIG_FILE: Final = "adapter_config.json"
FUSION_CONFIG_FILE: Final = "adapter_fusion_config.json"
UNLISTED: Final = (MANIFEST_FILE, SIGNATURE_FILE)
"""Files that the manifest cannot list: itself, and what signs it."""

MAX_FILES: Final = 64
MAX_FILE_BYTES: Final = 1 << 30
MAX_PACKAGE_BYTES: Final = 2 << 30

_FOLDER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_ALLOWED = re.compile(
    rf"{re.escape(MANIFEST_FILE)}|{re.escape(CARD_FILE)}|{re.escape(SIGNATURE_FILE)}"
    r"|plan\.json|weights\.safetensors|side\.safetensors"
    r"|head/(?:head_config\.json|model_head\.safetensors)"
    rf"|{_FOLDER}/(?:adapter_config\.json|adapter\.safetensors)"
    rf"|{_FOLDER}/(?:adapter_fusion_config\.json|model_adapter_fusion\.safetensors)"
)


def is_allowed(name: str) -> bool:
    """Whether a package may hold a file of that name, relative to it and with slashes."""
    return _ALLOWED.fullmatch(name) is not None


def is_tensor_file(name: str) -> bool:
    """Whether the file holds tensors."""
    return name.endswith(".safetensors")


def is_adapter_config(name: str) -> bool:
    """Whether the file is AdapterHub's configuration of an adapter."""
    return name.endswith(f"/{ADAPTER_CONFIG_FILE}")


def is_fusion_config(name: str) -> bool:
    """Whether the file is AdapterHub's configuration of a fusion of adapters."""
    return name.endswith(f"/{FUSION_CONFIG_FILE}")
