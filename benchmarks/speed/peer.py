"""What the peers have in common: their command line, encoding, scoring, and how they are timed."""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from corpus import Sentence, read_corpus, tags_of
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2
from transformers import AutoTokenizer, PreTrainedTokenizerFast, TrainingArguments, set_seed

IGNORED = -100
MAX_LENGTH = 256


@dataclass
class Trial:
    """One run of a peer.

    Attributes:
        options: Its command line.
        corpus: The texts.
        tags: The tags, in the order of the head's outputs.
        tokenizer: The backbone's.
        seconds: Seconds of each phase.
    """

    options: argparse.Namespace
    corpus: dict[str, list[Sentence]]
    tags: list[str]
    tokenizer: PreTrainedTokenizerFast
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    @property
    def steps(self) -> list[int]:
        """The recursion steps that learn."""
        first, _, last = self.options.steps.partition("-")
        return list(range(int(first), int(last or first) + 1))

    def encode(self, split: str, every_piece: bool = False) -> list[dict[str, Any]]:
        """Word pieces and labels of a split.

        Args:
            split: Its name.
            every_piece: Whether each piece has the label of its word, or the first alone.
        """
        numbers = {tag: number for number, tag in enumerate(self.tags)}
        features = []
        for words, tags in self.corpus[split]:
            encoded = self.tokenizer(
                words, is_split_into_words=True, truncation=True, max_length=MAX_LENGTH
            )
            labels, before = [], None
            for word in encoded.word_ids():
                learns = word is not None and (every_piece or word != before)
                labels.append(numbers[tags[word]] if learns else IGNORED)
                before = word
            features.append({**encoded, "labels": labels})
        return features

    def score(self, split: str, rows: Sequence[Sequence[int]]) -> float:
        """Strict F1 over words, from the predicted number of each word piece."""
        gold, found = [], []
        for (words, tags), row in zip(self.corpus[split], rows, strict=True):
            encoded = self.tokenizer(
                words, is_split_into_words=True, truncation=True, max_length=MAX_LENGTH
            )
            predicted = ["O"] * len(words)
            for position, word in reversed([*enumerate(encoded.word_ids())]):
                if word is not None:
                    predicted[word] = self.tags[row[position]]
            gold.append(tags)
            found.append(predicted)
        return float(f1_score(gold, found, mode="strict", scheme=IOB2))

    def arguments(self, **changes: Any) -> TrainingArguments:
        """What `Trainer` is told: batches at random, nothing saved on the way."""
        options = self.options
        return TrainingArguments(
            output_dir=str(options.work / "trainer"),
            num_train_epochs=options.epochs,
            per_device_train_batch_size=options.batch,
            learning_rate=options.lr,
            seed=options.seed,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            label_names=["labels"],
            **changes,
        )

    def report(self, scores: dict[str, float], trainable: int) -> None:
        """Print the result as JSON, last."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            json.dumps(
                {
                    "seconds": self.seconds,
                    "scores": scores,
                    "trainable": trainable,
                    "peak_bytes": peak,
                }
            )
        )


def begin(description: str) -> Trial:
    """Read the command line and the texts."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, required=True, help="folder of texts and backbone")
    parser.add_argument("--steps", default="0-5", help="steps that learn")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16, help="sentences a batch")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    set_seed(options.seed)
    corpus = read_corpus(options.work)
    tokenizer = AutoTokenizer.from_pretrained(options.work / "albert")
    return Trial(options, corpus, tags_of(corpus), tokenizer)


def trainable(model: torch.nn.Module) -> int:
    """Parameters that learn, the head's among them."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
