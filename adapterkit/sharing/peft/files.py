"""What a folder in PEFT's format holds."""

from __future__ import annotations

from typing import Final

CONFIG_FILE: Final = "adapter_config.json"
WEIGHTS_FILE: Final = "adapter_model.safetensors"
CARD_FILE: Final = "README.md"
