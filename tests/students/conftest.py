from __future__ import annotations

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
