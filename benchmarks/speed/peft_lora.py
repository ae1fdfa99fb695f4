"""PEFT's LoRA with transformers' Trainer over a stock ALBERT.

A stock ALBERT has no place for the backbone's layer-wise adapters, so they are left out: it does
less work than the others, and scores what it scores without them.
"""

from __future__ import annotations

from peer import begin
from peft import LoraConfig, TaskType, get_peft_model
from stock import train_and_report
from transformers import AlbertForTokenClassification, Trainer

_MATRICES = "attention.query|attention.key|attention.value|ffn|ffn_output"


def main() -> None:
    """Train low-rank updates and head, and evaluate."""
    trial = begin(__doc__.partition("\n")[0])
    with trial.phase("load"):
        model = AlbertForTokenClassification.from_pretrained(
            trial.options.work / "albert", num_labels=len(trial.tags)
        )
        steps = "|".join(map(str, trial.steps))
        config = LoraConfig(
            task_type=TaskType.TOKEN_CLS,
            r=8,
            lora_alpha=16,
            target_modules=rf".*albert_layer_groups\.({steps})\.albert_layers\.0\.({_MATRICES})",
        )
        model = get_peft_model(model, config)
    train_and_report(trial, model, Trainer)


if __name__ == "__main__":
    main()
