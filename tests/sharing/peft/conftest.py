"""Runs of LoRA on backbones that stock models compute, packed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import BertConfig, BertModel, BertTokenizerFast

from adapterkit.backbones.exporting import export_albert
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.relaxed import RELAXED, relaxed_config
from adapterkit.backbones.saving import save_backbone
from adapterkit.sharing.loading import load_package
from adapterkit.sharing.packing import pack
from adapterkit.tuning.tune import tune
from tests.tuning.conftest import corpus, plain_backbone

__all__ = ["corpus", "plain_backbone"]

LABELS = ("O", "B-Chemical", "I-Chemical", "B-Disease", "I-Disease")

Packed = Callable[..., Path]


@pytest.fixture(scope="session")
def relaxed_backbone(plain_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone whose steps have low-rank updates of their own."""
    folder = tmp_path_factory.mktemp("relaxed") / "backbone"
    loaded = load_backbone(plain_backbone)
    loaded.model.add_adapter(RELAXED, config=relaxed_config(2), set_active=True)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        for name, parameter in loaded.model.named_parameters():
            if f".{RELAXED}." in name:
                parameter.normal_(std=0.2)
    save_backbone(loaded.model.eval(), loaded.tokenizer, folder, card={"name": "relaxed"})
    return folder


@pytest.fixture(scope="session")
def bert(plain_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a plain BERT with random weights."""
    folder = tmp_path_factory.mktemp("bert") / "bert"
    tokenizer = BertTokenizerFast.from_pretrained(plain_backbone)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(5)
        model = BertModel(config, add_pooling_layer=False)
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def backbones(plain_backbone: Path, relaxed_backbone: Path, bert: Path) -> dict[str, Path]:
    return {"plain": plain_backbone, "relaxed": relaxed_backbone, "bert": bert}


@pytest.fixture(scope="session")
def packed(
    backbones: dict[str, Path], corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Packed:
    """Packages by plan and backbone, each made once."""
    made: dict[tuple[str, str], Path] = {}

    def make(plan: str, backbone: str = "plain") -> Path:
        if (plan, backbone) not in made:
            folder = tmp_path_factory.mktemp("peft")
            run = tune(
                "bc5cdr",
                plan,
                backbone=backbones[backbone],
                data=corpus,
                epochs=1,
                limit_train=8,
                batch_tokens=40,
                learning_rate=3e-2,
                output=folder / "run",
            )
            pack([run.path], folder / "package", name="bc5cdr@lora")
            made[plan, backbone] = folder / "package"
        return made[plan, backbone]

    return make


@pytest.fixture(scope="session")
def stock(
    backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """A backbone as a stock model for token classification, its head new."""
    exported = tmp_path_factory.mktemp("exported")

    def load(backbone: str, kind: str = "albert") -> Any:
        folder = backbones[backbone]
        if kind == "albert":
            folder = exported / backbone
            if not folder.exists():
                export_albert(load_backbone(backbones[backbone]), folder)
        cls = getattr(transformers, f"{kind.capitalize()}ForTokenClassification")
        return cls.from_pretrained(folder, num_labels=len(LABELS)).eval()

    return load


def some_texts() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 60, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[1, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def logits_of(model: Any) -> torch.Tensor:
    """Of the tokens that are no padding."""
    texts = some_texts()
    logits: torch.Tensor = model(**texts).logits
    return logits[texts["attention_mask"].bool()]


def package_logits(package: Path, backbone: Path) -> torch.Tensor:
    return logits_of(load_package(package, backbone=backbone).applied.model)
