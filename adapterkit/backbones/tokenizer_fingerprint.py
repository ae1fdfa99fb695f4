"""A tokenizer's fingerprint: equal where two tokenizers cut every text alike."""

from __future__ import annotations

import json
from typing import Any

from adapterkit.runs.hashing import sha256_text

# Set by every call of the tokenizer, and no part of how it cuts.
_STATE = ("truncation", "padding")


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """The SHA-256 of a fast tokenizer's vocabulary and rules, as ``"sha256:..."``.

    Args:
        tokenizer: A fast tokenizer of transformers.
    """
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    rules = {key: value for key, value in described.items() if key not in _STATE}
    text = json.dumps(rules, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"sha256:{sha256_text(text)}"
