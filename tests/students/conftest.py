from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from adapterkit.students.corpus import Corpus, open_corpus
from adapterkit.students.teacher import Teacher

TEXT = "the drug caused renal failure in patients with asthma and aspirin reduced pain"
WORDS = TEXT.split()


@pytest.fixture
def teacher() -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=600,
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        # Fresh LayerNorms are all alike; these tell the layers apart.
        for layer in model.encoder.layer:
            for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(-0.2, 0.2)
    return model


@pytest.fixture
def tokenizer(tmp_path: Path) -> BertTokenizerFast:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(vocabulary), encoding="utf-8")
    return BertTokenizerFast(str(path))


@pytest.fixture
def bare(tokenizer: BertTokenizerFast) -> Teacher:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
    )
    return Teacher("tiny", BertModel(config, add_pooling_layer=False).eval(), None, tokenizer)


@pytest.fixture
def corpus(tmp_path: Path, tokenizer: BertTokenizerFast) -> Corpus:
    """A document says one word over and over, so that there is something to learn."""
    rng = random.Random(1)
    documents = [" ".join([rng.choice(WORDS)] * rng.randint(20, 60)) for _ in range(80)]
    path = tmp_path / "corpus.txt"
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return open_corpus([path], tokenizer, window=32, held_out=0.1, cache=tmp_path / "cache")


_TASK = """name: {name}
kind: {kind}
labels: {labels}
metric: {metric}
files: {{train: {files[0]}, dev: {files[1]}, test: missing.tsv}}
"""


def _write_task(folder: Path, name: str, kind: str, labels: str, metric: str, content: str) -> Path:
    """A task of one's own; train and dev are alike and there is no test split."""
    folder = folder / name
    folder.mkdir()
    ending = "tsv" if kind == "ner" else "jsonl"
    files = [f"{split}.{ending}" for split in ("train", "dev")]
    for file in files:
        (folder / file).write_text(content, encoding="utf-8")
    path = folder / f"{name}.yaml"
    text = _TASK.format(name=name, kind=kind, labels=labels, metric=metric, files=files)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def entities(tmp_path: Path) -> Path:
    """Drugs are always the word aspirin."""
    sentence = "the O\naspirin B-Drug\nreduced O\npain O\n\n"
    other = "patients O\nwith O\nasthma O\n\nand O\naspirin B-Drug\n\n"
    content = (sentence + other) * 5
    return _write_task(tmp_path, "entities", "ner", "[Drug]", "strict_f1", content)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A text is about what it names; the last one about nothing."""
    texts = {"aspirin reduced pain": ["drug", "pain"], "aspirin and asthma": ["drug"]}
    texts |= {"the patients with pain": ["pain"], "asthma": [], "renal failure in patients": []}
    rows = [json.dumps({"text": text, "label": found}) for text, found in texts.items()]
    content = "\n".join(rows * 4)
    return _write_task(tmp_path, "labels", "multilabel", "[drug, pain]", "micro_f1", content)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Whether a text names aspirin."""
    texts = {"aspirin reduced pain": "yes", "aspirin and asthma": "yes", "with aspirin": "yes"}
    texts |= {"the patients with pain": "no", "asthma": "no"}
    rows = [json.dumps({"text": text, "label": found}) for text, found in texts.items()]
    content = "\n".join(rows * 4)
    return _write_task(tmp_path, "classes", "classification", "['yes', 'no']", "macro_f1", content)
