"""What reading a published checkpoint gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.foreign_heads import Head
from adapterkit.backbones.pretrained import Pretrained


@dataclass(frozen=True)
class Converted:
    """A checkpoint as a recursive backbone.

    Attributes:
        config: The backbone's configuration.
        tensors: Canonical tensors, float32.
        pretrained: Size and tensors of the adapters of the backbone, by name.
        head: The checkpoint's head, if it has one that can be kept.
        weights: The file read.
        notes: What was left out or decided, in words.
        bert: Whether it was a BERT, whose layers share nothing.
    """

    config: RecursiveConfig
    tensors: dict[str, torch.Tensor]
    pretrained: dict[str, Pretrained]
    head: Head | None
    weights: Path
    notes: tuple[str, ...]
    bert: bool = False
