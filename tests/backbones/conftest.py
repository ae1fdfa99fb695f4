from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertTokenizerFast

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.backbones.pretrained import activate_pretrained
from adapterkit.backbones.relaxed import RELAXED, relaxed_config
from adapterkit.backbones.saving import save_backbone

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "aspirin", "induced", "asthma", "##s", "the")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("words") / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return BertTokenizerFast(str(path))


def small_config(**changes: Any) -> RecursiveConfig:
    settings: dict[str, Any] = {
        "vocab_size": 50,
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 32,
        "use_pooler": False,
    }
    return RecursiveConfig(**(settings | changes))


def random_model(
    layerwise: bool = True, rank: int | None = None, **changes: Any
) -> RecursiveAdapterModel:
    """A small model whose every parameter is random, layer norms and biases included."""
    model = RecursiveAdapterModel(small_config(**changes))
    if layerwise:
        steps = model.config.num_hidden_layers
        model.add_adapter(LAYERWISE, config=layerwise_config(steps))
    if rank is not None:
        model.add_adapter(RELAXED, config=relaxed_config(rank))
    activate_pretrained(model)
    with torch.no_grad():
        for parameter in dict.fromkeys(model.parameters()):
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def batch() -> dict[str, torch.Tensor]:
    """Two sentences, the second padded."""
    ids = torch.tensor([[2, 5, 6, 7, 8, 3], [2, 9, 5, 3, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def output(model: Any, **inputs: Any) -> torch.Tensor:
    with torch.no_grad():
        states: torch.Tensor = model(**(inputs or batch())).last_hidden_state
    return states


@pytest.fixture(scope="session")
def _pristine(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("pristine") / "backbone"
    save_backbone(random_model(embedding_adapter_size=2), tokenizer, path, card={"name": "small"})
    return path


@pytest.fixture
def saved(tmp_path: Path, _pristine: Path) -> Path:
    """The folder of a small backbone with every optional part, to be altered at will."""
    return Path(shutil.copytree(_pristine, tmp_path / "backbone"))
