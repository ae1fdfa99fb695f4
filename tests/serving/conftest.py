from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import BertTokenizerFast

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.saving import save_backbone
from adapterkit.serving.predictor import Predictor, load_adapter
from adapterkit.tasks.examples import NerExample
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.sources import load_data
from adapterkit.tuning.tune import tune
from tests.tuning.conftest import _fast_collections, _fast_metrics

__all__ = ["_fast_collections", "_fast_metrics"]

STEPS = 3
TRAINED_ON = 16


def _words_of_the_sample() -> list[str]:
    examples = load_data(load_task("bc5cdr"), "sample", ("train",)).splits["train"]
    words = {word.lower() for example in examples[:TRAINED_ON] for word in example.words}
    return sorted(word for word in words if re.fullmatch(r"[a-z0-9]+", word))


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random backbone of three steps that knows characters and some words of the sample."""
    folder = tmp_path_factory.mktemp("serving")
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    known += [f"##{character}" for character in characters]
    known += [word for word in _words_of_the_sample() if len(word) > 1]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(known) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    config = RecursiveConfig(
        vocab_size=len(known),
        embedding_size=32,
        hidden_size=32,
        num_hidden_layers=STEPS,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        use_pooler=False,
    )
    model = RecursiveAdapterModel(config)
    # ALBERT's own initialisation is so small that words can hardly be told apart.
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=1.0)
    save_backbone(model, BertTokenizerFast(str(vocabulary)), folder / "tiny", card={"name": "tiny"})
    return folder / "tiny"


@pytest.fixture(scope="session")
def start_of_the_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first sentences of each split of bc5cdr's sample, in its files."""
    folder = tmp_path_factory.mktemp("start") / "bc5cdr"
    folder.mkdir()
    data = load_data(load_task("bc5cdr"), "sample")
    for split, examples in data.splits.items():
        first = [example for example in examples[:TRAINED_ON] if isinstance(example, NerExample)]
        rows = ("\n".join(map("\t".join, zip(e.words, e.tags, strict=True))) for e in first)
        (folder / f"{split}.tsv").write_text("\n\n".join(rows) + "\n", encoding="utf-8")
        ids = "".join(f"{example.document}\n" for example in first)
        (folder / f"{split}.docids").write_text(ids, encoding="utf-8")
    return folder


def _tuned(task: str, backbone: Path, data: str | Path, output: Path) -> Path:
    tune(
        task,
        "seq_bn",
        backbone=backbone,
        data=data,
        output=output,
        epochs=1,
        learning_rate=2e-3,
        limit_train=TRAINED_ON,
    )
    return output


@pytest.fixture(scope="session")
def ner_run(
    tiny_backbone: Path, start_of_the_sample: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that has learned little and therefore finds entities nearly everywhere."""
    output = tmp_path_factory.mktemp("runs") / "ner"
    return _tuned("bc5cdr", tiny_backbone, start_of_the_sample, output)


@pytest.fixture(scope="session")
def hoc_run(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a multi-label task."""
    return _tuned("hoc", tiny_backbone, "sample", tmp_path_factory.mktemp("runs") / "hoc")


@pytest.fixture(scope="session")
def ner(ner_run: Path) -> Predictor:
    return load_adapter(ner_run)


@pytest.fixture(scope="session")
def hoc(hoc_run: Path) -> Predictor:
    return load_adapter(hoc_run)
