"""Training a stock ALBERT with transformers' Trainer, and evaluating it: what two peers share."""

from __future__ import annotations

from typing import Any

import numpy as np
from peer import Trial, trainable
from transformers import DataCollatorForTokenClassification, Trainer


def train_and_report(trial: Trial, model: Any, kind: type[Trainer]) -> None:
    """Train what learns in `model`, predict dev and test, and print the result."""
    with trial.phase("encode"):
        train = trial.encode("train")
    trainer = kind(
        model=model,
        args=trial.arguments(per_device_eval_batch_size=trial.options.batch),
        train_dataset=train,
        data_collator=DataCollatorForTokenClassification(trial.tokenizer),
    )
    with trial.phase("train"):
        trainer.train()
    scores = {}
    for split in ("dev", "test"):
        with trial.phase(f"evaluate_{split}"):
            logits = trainer.predict(trial.encode(split)).predictions
            scores[split] = trial.score(split, np.argmax(logits, axis=-1).tolist())
    trial.report(scores, trainable(model))
