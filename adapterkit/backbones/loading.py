"""Loading a backbone, strictly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.modeling_utils import no_init_weights

from adapterkit.backbones import registration
from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.canonical import assign, canonical_shapes
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.layerwise_files import add_layerwise, has_layerwise, read_layerwise
from adapterkit.backbones.safety import read_config, read_json
from adapterkit.backbones.saving import CARD_FILE, CONFIG_FILE, LAYERWISE_FOLDER, WEIGHTS_FILE
from adapterkit.backbones.tensors import as_float32, check_shapes, read_safetensors
from adapterkit.backbones.tokenizer import load_tokenizer
from adapterkit.runs.errors import UserError

BUNDLED = "bundled"
ATTENTION = ("sdpa", "eager")


@dataclass(frozen=True)
class Backbone:
    """A recursive model ready to be adapted.

    Attributes:
        id: What `load_backbone` takes to load it again.
        model: In evaluation mode and float32; its layer-wise adapter, if any, is active.
        tokenizer: The fast tokenizer that belongs to it.
        fingerprint: ``"sha256:..."`` of what it computes; see `fingerprint`.
        path: The folder it was loaded from.
    """

    id: str
    model: RecursiveAdapterModel
    tokenizer: Any
    fingerprint: str
    path: Path | None

    @property
    def steps(self) -> int:
        """Number of recursion steps."""
        return int(self.model.config.num_hidden_layers)

    @property
    def has_layerwise(self) -> bool:
        """Whether the backbone has pretrained layer-wise adapters."""
        return has_layerwise(self.model)

    @property
    def hidden_size(self) -> int:
        """Width of the states."""
        return int(self.model.config.hidden_size)


def load_backbone(source: str | Path = BUNDLED, *, attn_implementation: str = "sdpa") -> Backbone:
    """Load a backbone.

    Args:
        source: ``"bundled"`` or a folder that `save_backbone` wrote.
        attn_implementation: ``"sdpa"`` or ``"eager"`` (needed for attention maps).

    Raises:
        UserError: There is no such backbone, or it is damaged, foreign or unsafe.
    """
    directory = Path(__file__).parent / BUNDLED if source == BUNDLED else Path(source).resolve()
    model = load_model(directory, attn_implementation)
    return Backbone(
        id=BUNDLED if source == BUNDLED else str(directory),
        model=model,
        tokenizer=load_tokenizer(directory, model.config.vocab_size),
        fingerprint=_verified_fingerprint(model, directory),
        path=directory,
    )


def load_model(directory: Path, attn_implementation: str = "sdpa") -> RecursiveAdapterModel:
    """The model in a folder that `save_backbone` wrote, with its layer-wise adapter active.

    Raises:
        UserError: The folder is damaged, foreign or unsafe.
    """
    config = make_config(read_config(directory / CONFIG_FILE), directory / CONFIG_FILE)
    weights = directory / WEIGHTS_FILE
    check_shapes(weights, canonical_shapes(config))
    model = build_model(config, as_float32(weights, read_safetensors(weights)), attn_implementation)
    folder = directory / LAYERWISE_FOLDER
    if folder.is_dir():
        reduction, tensors = read_layerwise(folder, config.num_hidden_layers)
        with torch.random.fork_rng(devices=[]):
            add_layerwise(model, reduction, tensors, folder)
    return model.eval()


def make_config(values: dict[str, Any], path: Path) -> RecursiveConfig:
    """A configuration from checked `values`.

    Raises:
        UserError: The values contradict each other.
    """
    values = {key: value for key, value in values.items() if key != "model_type"}
    try:
        return RecursiveConfig(**values)
    except ValueError as error:
        raise UserError(
            "The configuration contradicts itself.", where=str(path), found=str(error)
        ) from error


def build_model(
    config: RecursiveConfig, tensors: dict[str, torch.Tensor], attn_implementation: str = "sdpa"
) -> RecursiveAdapterModel:
    """A model with these canonical tensors; the random state is left as it was.

    Raises:
        UserError: `attn_implementation` is unknown.
    """
    if attn_implementation not in ATTENTION:
        raise UserError(
            "Unknown attention implementation.", found=repr(attn_implementation), allowed=ATTENTION
        )
    registration.register()
    config._attn_implementation = attn_implementation
    with torch.random.fork_rng(devices=[]), no_init_weights():
        model = RecursiveAdapterModel(config)
    assign(model.albert, tensors)
    return model.eval()


def _verified_fingerprint(model: RecursiveAdapterModel, directory: Path) -> str:
    found = fingerprint(model)
    card = directory / CARD_FILE
    stated = read_json(card).get("fingerprint") if card.is_file() else None
    if stated not in (None, found):
        raise UserError(
            "The backbone is not the one its card describes.",
            where=f"{card}: fingerprint",
            found=found,
            allowed=str(stated),
            hint="the files were changed or damaged; fetch or make the backbone again",
        )
    return found
