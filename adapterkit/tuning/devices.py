"""Where models compute."""

from __future__ import annotations

from typing import Any

from accelerate import PartialState


def move(model: Any) -> None:
    """Move a model to where transformers' Trainer puts one: to a GPU where there is one."""
    model.to(PartialState().device)
