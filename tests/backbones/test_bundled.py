"""The backbone that ships inside the package."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.safety import read_json

MAX_BYTES = 16_000_000


def test_bundled_backbone() -> None:
    backbone = load_backbone()
    assert backbone.id == "bundled"
    assert backbone.steps == 6
    assert backbone.has_layerwise
    assert backbone.path is not None
    files = [file for file in backbone.path.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MAX_BYTES
    stored = load_file(backbone.path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert {parameter.dtype for parameter in backbone.model.parameters()} == {torch.float32}
    card = read_json(backbone.path / "card.json")
    assert card["fingerprint"] == backbone.fingerprint
    assert card["licence"]


def test_bundled_backbone_reads_text() -> None:
    backbone = load_backbone()
    encoded = backbone.tokenizer("Aspirin-induced asthma.", return_tensors="pt")
    with torch.no_grad():
        states = backbone.model(**encoded).last_hidden_state
    assert states.shape == (1, encoded["input_ids"].shape[1], backbone.hidden_size)
    assert states.isfinite().all()
    assert states.std() > 0.1
