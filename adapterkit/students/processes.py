"""The processes that share a distillation."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list


def on_processor() -> bool:
    """Whether to compute on the processor whatever else there may be.

    So it is if a launcher says so, and where it started several processes without a GPU:
    accelerate would not let these know of each other.
    """
    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    return asked or ("LOCAL_RANK" in os.environ and not torch.cuda.is_available())


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return bool(PartialState(cpu=on_processor()).is_main_process)


def of_first(text: str | None) -> str:
    """What the first process gave, in every process."""
    texts = [text or ""]
    broadcast_object_list(texts)
    return texts[0]
