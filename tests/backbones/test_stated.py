"""What a configuration states is what the loaded backbone has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterkit.backbones.bundled_folder import BUNDLED, bundled_folder
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.saving import save_backbone
from adapterkit.backbones.shape import BackboneShape
from adapterkit.backbones.stated import stated_backbone, stated_steps
from adapterkit.backbones.stated_fingerprint import stated_fingerprint
from adapterkit.backbones.weights import backbone_weights
from adapterkit.runs.errors import UserError
from tests.backbones.conftest import random_model
from tests.backbones.minialbert import Shape, base_tensors, config_of, write

RANK = 3


def test_the_bundled_backbone() -> None:
    assert stated_steps(BUNDLED) == stated_steps(bundled_folder()) == load_backbone().steps


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"num_hidden_layers": "6"}', "\x00"])
def test_a_damaged_configuration_states_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    assert stated_steps(tmp_path) is None


def test_what_is_not_here_states_nothing(tmp_path: Path) -> None:
    assert stated_steps(tmp_path / "none") is None
    assert stated_steps("owner/name") is None


@pytest.fixture
def relaxed(tmp_path: Path, tokenizer: Any) -> Path:
    """A backbone with layer-wise adapters and updates of each step's."""
    return _write(tmp_path / "backbone", tokenizer)


def _write(path: Path, tokenizer: Any, dtype: torch.dtype | None = None) -> Path:
    model = random_model(True, rank=RANK, tied="matrices")
    save_backbone(model, tokenizer, path, card={"name": "tiny"}, dtype=dtype)
    return path


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_it_is_stated_as_it_is_loaded(
    tmp_path: Path, tokenizer: Any, dtype: torch.dtype | None
) -> None:
    path = _write(tmp_path / "backbone", tokenizer, dtype)
    stated, loaded = stated_backbone(path), load_backbone(path)
    assert stated is not None
    assert (stated.id, stated.path) == (loaded.id, loaded.path)
    assert stated.shape == BackboneShape.of(loaded.model.config.to_dict(), 16, RANK)
    assert stated_fingerprint(stated) == loaded.fingerprint
    counted = sum(weights.learnable for weights in backbone_weights(stated.shape))
    assert counted == sum(parameter.numel() for parameter in loaded.model.parameters())


def test_the_bundled_backbone_is_stated_as_it_is_loaded() -> None:
    stated, loaded = stated_backbone(BUNDLED), load_backbone()
    assert stated is not None
    assert (stated.id, stated_fingerprint(stated)) == (loaded.id, loaded.fingerprint)
    assert stated.shape.has_layerwise == loaded.has_layerwise


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", lambda config: {**config, "tied": "some"}),
        ("config.json", lambda config: {**config, "hidden_size": 36}),
        ("config.json", lambda config: {**config, "block_of_step": [0, 0, 1, 0]}),
        ("config.json", lambda config: {**config, "block_of_step": [0, 0]}),
        ("config.json", lambda config: {**config, "own_parameters": ["9.ffn.weight"]}),
        ("config.json", lambda config: {**config, "auto_map": {}}),
        ("config.json", lambda config: {**config, "embedding_projection": False}),
        ("relaxed/adapter_config.json", lambda config: {"config": {"r": "3"}}),
        ("relaxed/adapter_config.json", lambda config: {"config": {"r": 4}}),
        ("layerwise/adapter_config.json", lambda config: {}),
    ],
)
def test_what_loading_refuses_is_not_stated(
    relaxed: Path, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    file = relaxed / name
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    assert stated_backbone(relaxed) is None
    with pytest.raises(UserError):
        load_backbone(relaxed)


@pytest.mark.parametrize("name", ["model.safetensors", "relaxed/adapter.safetensors"])
def test_damaged_weights_are_not_stated(relaxed: Path, name: str) -> None:
    content = (relaxed / name).read_bytes()
    (relaxed / name).write_bytes(content[:-4])
    assert stated_backbone(relaxed) is None
    # The same header before other numbers: only the fingerprint can tell.
    (relaxed / name).write_bytes(content[:-4] + b"\x00\x00\xc0\x7f")
    stated = stated_backbone(relaxed)
    assert stated is not None
    assert stated_fingerprint(stated) is None
    (relaxed / name).write_bytes(content[:-4] + b"\x00\x00\x00\x3f")
    assert stated_fingerprint(stated) is None


def test_a_checkpoint_of_another_library_is_not_stated(tmp_path: Path) -> None:
    shape = Shape()
    write(tmp_path / "mini", base_tensors(shape), config_of(shape))
    assert stated_backbone(tmp_path / "mini") is None
    assert stated_backbone("owner/name") is None
