"""A tiny backbone, a small made-up NER corpus that it can learn, and runs on them."""

from __future__ import annotations

import gc
import json
import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import BertTokenizerFast

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.backbones.saving import save_backbone
from adapterkit.tuning.reloading import load_run
from adapterkit.tuning.rescoring import evaluate_adapter
from adapterkit.tuning.run import Run
from adapterkit.tuning.tune import tune

STEPS = 3
CHEMICALS = ("aspirin", "cocaine", "lithium", "nicotine")
DISEASES = ("asthma", "seizure", "nausea", "migraine")
OTHERS = ("the", "induced", "patients", "with", "of", "was", "after", "in", "treated")


@pytest.fixture(scope="session", autouse=True)
def _fast_collections() -> None:
    # Accelerate collects garbage after every training, and most objects are those of libraries.
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _fast_metrics() -> Iterator[None]:
    # evaluate puts what it scores in tables, whose fingerprints nobody reads.
    from datasets import arrow_dataset, fingerprint

    with pytest.MonkeyPatch.context() as patch:
        random = fingerprint.generate_random_fingerprint
        patch.setattr(arrow_dataset, "generate_fingerprint", lambda dataset: random())
        yield


def make_backbone(folder: Path, *, layerwise: bool = True, seed: int = 0, **changes: Any) -> Path:
    """Save a random backbone that knows the corpus's words, and letters for all others."""
    letters = string.ascii_lowercase + string.digits
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    pieces += [*string.punctuation, *CHEMICALS, *DISEASES, *OTHERS]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    values: dict[str, Any] = {
        "vocab_size": len(pieces),
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": STEPS,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "use_pooler": False,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = RecursiveAdapterModel(RecursiveConfig(**{**values, **changes}))
        if layerwise:
            model.add_adapter(LAYERWISE, config=layerwise_config(STEPS), set_active=True)
        for parameter in dict.fromkeys(model.parameters()):
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    save_backbone(model.eval(), tokenizer, folder / "backbone", card={"name": "tiny"})
    return folder / "backbone"


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_backbone(tmp_path_factory.mktemp("backbones") / "tiny")


@pytest.fixture(scope="session")
def plain_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a backbone without layer-wise adapters."""
    return make_backbone(tmp_path_factory.mktemp("backbones") / "plain", layerwise=False)


def sentences(count: int, seed: int) -> list[list[tuple[str, str]]]:
    """Sentences of known words; a chemical or disease may be two words long."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        rows = []
        for _ in range(rng.randint(3, 9)):
            kind = rng.choice(("O", "O", "Chemical", "Disease"))
            if kind == "O":
                rows.append((rng.choice(OTHERS), "O"))
                continue
            names = CHEMICALS if kind == "Chemical" else DISEASES
            rows.append((rng.choice(OTHERS), "O"))
            rows.append((rng.choice(names), f"B-{kind}"))
            if rng.random() < 0.3:
                rows.append((rng.choice(names), f"I-{kind}"))
        made.append(rows)
    return made


def write_corpus(folder: Path, seed: int = 0) -> Path:
    """Write a corpus in bc5cdr's files: 32, 12 and 12 sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (split, count) in enumerate((("train", 32), ("dev", 12), ("test", 12))):
        made = sentences(count, 10 * seed + number)
        text = "\n\n".join("\n".join("\t".join(row) for row in rows) for rows in made)
        (folder / f"{split}.tsv").write_text(text + "\n", encoding="utf-8")
        ids = "".join(f"{split}-{index // 2}\n" for index in range(count))
        (folder / f"{split}.docids").write_text(ids, encoding="utf-8")
    return folder


def write_texts(folder: Path, task: dict[str, Any], form: str, seed: int = 0) -> Path:
    """Write texts whose known words tell their labels, and the YAML that reads them."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    words = dict(zip(task["labels"], (*CHEMICALS, *DISEASES), strict=False))
    for split, count in (("train", 32), ("dev", 12), ("test", 12)):
        rows = []
        for number in range(count):
            least = 0 if task["kind"] == "multilabel" else 1
            labels = rng.sample(list(words), rng.randint(least, max(1, 2 * (1 - least))))
            text = [rng.choice(OTHERS) for _ in range(rng.randint(2, 6))]
            text += [words[label] for label in labels]
            rng.shuffle(text)
            value = labels if task["kind"] == "multilabel" else labels[0]
            rows.append({"id": f"{split}{number}", "text": " ".join(text), "label": value})
        if form == "tsv":
            lines = ["text\tlabel", *(f"{row['text']}\t{row['label']}" for row in rows)]
        else:
            lines = [json.dumps(row) for row in rows]
        (folder / f"{split}.{form}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = {split: f"{split}.{form}" for split in ("train", "dev", "test")}
    (folder / "own.yaml").write_text(yaml.safe_dump({**task, "files": files}), encoding="utf-8")
    return folder / "own.yaml"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def options(backbone: Path, corpus: Path) -> dict[str, Any]:
    """A run of two epochs of about ten updates each that learns something."""
    return {
        "task": "bc5cdr",
        "backbone": backbone,
        "data": corpus,
        "epochs": 2,
        "batch_tokens": 40,
        "learning_rate": 3e-2,
    }


RunTiny = Callable[..., Run]


@pytest.fixture(scope="session")
def run_tiny(options: dict[str, Any]) -> RunTiny:
    """Tune with `options`, changed by what is given."""
    return lambda **changes: tune(**{**options, **changes})


@pytest.fixture(scope="session")
def finished(run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, for tests that only read it."""
    return run_tiny(output=tmp_path_factory.mktemp("finished") / "run")


def evaluate_run(run: str | Path, **options: Any) -> dict[str, Any]:
    """Score a run from its directory alone."""
    return evaluate_adapter(load_run(run), run, **options)


def learned(run: Path) -> dict[str, bytes]:
    """Every file of a run's adapter and predictions, by name, as bytes."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for folder in ("adapter", "predictions")
        for path in sorted((run / folder).rglob("*"))
        if path.is_file()
    }


def assert_same(run: Run, other: Run) -> None:
    """Both learned the same weights, to the bit, and score and predict the same."""
    assert learned(run.path) == learned(other.path)
    assert run.metrics == other.metrics
