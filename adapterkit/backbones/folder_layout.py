"""The files of a backbone's folder."""

from __future__ import annotations

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "card.json"

CHECKPOINT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names a weights file from elsewhere may have; the first one found is read."""

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    TOKENIZER_CONFIG_FILE,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "spiece.model",
)
"""Names of the files a tokenizer may consist of."""

ADAPTER_CONFIG_FILE = "adapter_config.json"
ADAPTER_WEIGHTS_FILE = "adapter.safetensors"
"""In the folder of an adapter that is part of the backbone."""

ADAPTER_PREFIX = "albert."
"""Before the names of an adapter's tensors: AdapterHub stores them as a model with heads has."""
