from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from transformers import BertTokenizerFast

from adapterkit.students.probe import open_probe
from adapterkit.students.probing import States, probe_scores


@pytest.fixture
def words(tokenizer: BertTokenizerFast) -> States:
    """States that tell each word from any other, and padding from nothing."""
    table = torch.eye(len(tokenizer))
    return lambda ids, mask: table[ids]


def alike(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.ones(*ids.shape, 4)


def test_states_that_tell_the_words_apart_score_fully(
    entities: Path, labels: Path, classes: Path, tokenizer: BertTokenizerFast, words: States
) -> None:
    probe = open_probe([str(entities), str(labels), str(classes)], tokenizer, window=16)
    assert probe_scores(probe, words) == {"entities": 1.0, "labels": 1.0, "classes": 1.0}


def test_states_that_are_all_alike_score_as_guesses_do(
    entities: Path, labels: Path, classes: Path, tokenizer: BertTokenizerFast
) -> None:
    probe = open_probe([str(entities), str(labels), str(classes)], tokenizer, window=16)
    # Macro-F1 of naming the more frequent of two classes, which 6 of 10 texts have.
    guess = (2 * 0.6 / (0.6 + 1)) / 2
    assert probe_scores(probe, alike) == pytest.approx(
        {"entities": 0.0, "labels": 0.0, "classes": guess}
    )


def test_scores_are_those_of_a_logistic_regression_written_out(
    classes: Path, tokenizer: BertTokenizerFast
) -> None:
    torch.manual_seed(0)
    table = torch.randn(len(tokenizer), 1)
    probe = open_probe([str(classes)], tokenizer, window=16)
    (read,) = probe.tasks
    features = {}
    for name, part in (("train", read.train), ("dev", read.dev)):
        means = [table[list(window.input_ids)].mean(0) for window in part.encoded.windows]
        features[name] = torch.stack(means).numpy()
    gold = np.array([label for (label,) in read.train.encoded.targets])
    mean, scale = features["train"].mean(0), features["train"].std(0)
    model = LogisticRegression().fit((features["train"] - mean) / scale, gold)
    said = model.predict((features["dev"] - mean) / scale)
    true = np.array([label for (label,) in read.dev.encoded.targets])
    each = [
        2 * (said == k)[true == k].sum() / ((said == k).sum() + (true == k).sum()) for k in (0, 1)
    ]
    found = probe_scores(probe, lambda ids, mask: table[ids])
    assert found["classes"] == pytest.approx(np.mean(each))
    assert found["classes"] < 1


def test_labels_that_train_does_not_hold_are_never_predicted(
    labels: Path, tokenizer: BertTokenizerFast, words: States
) -> None:
    rows = '{"text": "aspirin", "label": ["drug"]}\n{"text": "asthma", "label": ["drug"]}\n'
    (labels.parent / "train.jsonl").write_text(rows, encoding="utf-8")
    rows = '{"text": "aspirin", "label": ["drug"]}\n{"text": "pain", "label": ["drug", "pain"]}\n'
    (labels.parent / "dev.jsonl").write_text(rows, encoding="utf-8")
    found = probe_scores(open_probe([str(labels)], tokenizer, window=16), words)
    assert found["labels"] == pytest.approx(4 / 5)


def test_padding_does_not_count(labels: Path, tokenizer: BertTokenizerFast, words: States) -> None:
    probe = open_probe([str(labels)], tokenizer, window=16)

    def noisy(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert mask.sum() < mask.numel()
        return torch.where(mask[..., None] == 1, words(ids, mask), torch.full((), 1e6))

    assert probe_scores(probe, noisy) == {"labels": 1.0}
