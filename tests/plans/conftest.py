from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.factorised.forms import Form, Kronecker, LowRank, MatrixProduct
from adapterkit.backbones.factorised.places import TABLE
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.backbones.pretrained import activate_pretrained
from adapterkit.backbones.relaxed import RELAXED, relaxed_config

STEPS = 4
RANK = 3


def build(layerwise: bool, rank: int | None = None, **options: object) -> RecursiveAdapterModel:
    values: dict[str, object] = {
        "vocab_size": 100,
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": STEPS,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 40,
        "embedding_adapter_size": 2 if layerwise else None,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = RecursiveAdapterModel(RecursiveConfig(**{**values, **options}))
        if layerwise:
            model.add_adapter(LAYERWISE, config=layerwise_config(model.config.num_hidden_layers))
        if rank is not None:
            model.add_adapter(RELAXED, config=relaxed_config(rank))
        activate_pretrained(model)
        # AdapterHub's and ALBERT's own initialisation is too small to tell computations apart.
        for name, parameter in model.named_parameters():
            gain = name.endswith(".weight") and parameter.dim() == 1
            torch.nn.init.normal_(parameter, mean=float(gain), std=0.2)
    return model.eval()


@pytest.fixture(scope="session")
def templates() -> dict[bool, bytes]:
    return {layerwise: pickle.dumps(build(layerwise)) for layerwise in (True, False)}


@pytest.fixture
def make_model(templates: dict[bool, bytes]) -> Callable[[bool], RecursiveAdapterModel]:
    """A fresh tiny backbone, with or without layer-wise adapters; always the same weights."""
    return lambda layerwise=True: pickle.loads(templates[layerwise])


@pytest.fixture(scope="session")
def relaxed_templates() -> dict[bool, bytes]:
    return {
        layerwise: pickle.dumps(build(layerwise, rank=RANK, tied="matrices"))
        for layerwise in (True, False)
    }


@pytest.fixture
def make_relaxed(
    relaxed_templates: dict[bool, bytes],
) -> Callable[[bool], RecursiveAdapterModel]:
    """As `make_model`, with relaxed recursion: updates, biases and LayerNorms of each step's."""
    return lambda layerwise=True: pickle.loads(relaxed_templates[layerwise])


FORMS: dict[str, dict[str, Form]] = {
    "kronecker": {
        "attention.query": Kronecker((16, 2), (8, 4), 2),
        "attention.dense": Kronecker((4, 8), (16, 2)),
        "ffn": Kronecker((8, 8), (4, 8), 2),
        "ffn_output": Kronecker((2, 16), (32, 2)),
        TABLE: Kronecker((100, 1), (8, 2)),
    },
    "low_rank": {
        "attention.key": LowRank(32, 32, 9),
        "attention.value": LowRank(32, 32, 5),
        "ffn": LowRank(64, 32, 11),
        "ffn_output": LowRank(32, 64, 7),
        TABLE: LowRank(100, 16, 6),
    },
    "mpo": {
        name: MatrixProduct(rows, columns, bond)
        for name, rows, columns, bond in (
            ("attention.query", (4, 4, 2), (4, 4, 2), None),
            ("attention.key", (4, 4, 2), (4, 4, 2), 12),
            ("attention.value", (4, 4, 2), (4, 4, 2), 12),
            ("attention.dense", (2, 4, 4), (4, 4, 2), 5),
            ("ffn", (4, 4, 4), (4, 4, 2), 14),
            ("ffn_output", (4, 4, 2), (4, 4, 4), 14),
        )
    },
}
"""Forms for the small backbone of these tests, of each kind."""


@pytest.fixture(scope="session")
def factorised_templates() -> dict[tuple[str, bool], bytes]:
    return {
        (kind, layerwise): pickle.dumps(
            build(
                layerwise,
                factorised={name: form.as_dict() for name, form in forms.items()},
                tied="central" if kind == "mpo" else "all",
            )
        )
        for kind, forms in FORMS.items()
        for layerwise in (True, False)
    }


@pytest.fixture
def make_factorised(
    factorised_templates: dict[tuple[str, bool], bytes],
) -> Callable[[str, bool], RecursiveAdapterModel]:
    """As `make_model`, with matrices stored as factors of a kind of `FORMS`."""
    return lambda kind, layerwise=True: pickle.loads(factorised_templates[kind, layerwise])


@pytest.fixture(scope="session")
def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(3, 11, dtype=torch.long)
    mask[1, 7:] = 0
    ids = torch.randint(0, 100, (3, 11), generator=generator)
    return {"input_ids": ids, "attention_mask": mask}


def bytes_on_disk(directory: Path) -> int:
    """Sizes of all safetensors files without their headers."""
    total = 0
    for path in directory.rglob("*.safetensors"):
        with path.open("rb") as file:
            (header,) = struct.unpack("<Q", file.read(8))
        total += path.stat().st_size - 8 - header
    return total


@torch.no_grad()
def states(model: RecursiveAdapterModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Last states of the encoder at tokens that are no padding."""
    output = model.albert(**batch).last_hidden_state
    return output[batch["attention_mask"].bool()]
