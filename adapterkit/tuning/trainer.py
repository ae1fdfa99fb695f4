"""transformers' Trainer over token-budget batches, saving only what learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from adapterkit.plans.applied import AppliedPlan
from adapterkit.runs.directory import RunDirectory
from adapterkit.tasks.scoring import epoch_scores
from adapterkit.tuning.batches import TEACHER, Collator, EpochLoader, TokenBatches, WindowDataset
from adapterkit.tuning.callbacks import Reporting, Saving
from adapterkit.tuning.checkpoints import Checkpoint, checkpoint_folder, prune, seal
from adapterkit.tuning.evaluation import EvaluationSplit, predict_split
from adapterkit.tuning.optimiser import make_optimiser
from adapterkit.tuning.settings import Settings
from adapterkit.tuning.teaching import teaching_loss
from adapterkit.tuning.trained import load_trained, save_trained

ROW_MULTIPLE = 64
"""In bfloat16, of what the number of states that a step computes is a multiple."""


class PlanTrainer(Trainer):  # type: ignore[misc]
    """Trains what a plan chose, and keeps the epoch with the best dev score.

    Args:
        applied: The model with its plan and head.
        train: The training split.
        dev: The split that chooses the epoch.
        settings: Hyper-parameters.
        seed: Of batches and dropout.
        directory: Where checkpoints go.
        reporting: Told how it goes.
        saving: Decides when to save between epochs.
    """

    optimizer: torch.optim.Optimizer | None
    control: Any

    def __init__(
        self,
        applied: AppliedPlan,
        train: EvaluationSplit,
        dev: EvaluationSplit,
        settings: Settings,
        seed: int,
        directory: RunDirectory,
        reporting: Reporting,
        saving: Saving,
    ) -> None:
        self.applied, self.dev, self.settings = applied, dev, settings
        self.teaching, self.multilabel = train.teaching, train.task.kind == "multilabel"
        self.windows = dataset = WindowDataset(train.encoded)
        self.batches = TokenBatches(dataset.lengths, settings.batch_tokens, seed, settings.epochs)
        super().__init__(
            model=applied.model,
            args=_arguments(settings, seed, directory),
            train_dataset=dataset,
            eval_dataset=WindowDataset(dev.encoded),
            data_collator=Collator(
                train.task, train.encoded, train.pad_token_id, train.states, train.teaching
            ),
            callbacks=[reporting, saving, *_early_stopping(settings)],
        )
        self.remove_callback(PrinterCallback)
        encoder = applied.model.base_model.encoder
        lowered = settings.precision == "bf16"
        encoder.training_dtype = torch.bfloat16 if lowered else None
        # In float32 a processor gains a few per cent at most, and dropout would draw other numbers.
        encoder.unpads = self.args.device.type != "cpu" or lowered
        # Few shapes: oneDNN's bfloat16 kernels for one take longer to make than to compute with.
        encoder.row_multiple = ROW_MULTIPLE if lowered else 1
        # The model's forward takes any keyword, which Trainer would read as taking loss keywords.
        self.model_accepts_loss_kwargs = False

    def get_train_dataloader(self) -> EpochLoader:
        """Batches by tokens; Trainer tells them the epoch."""
        return EpochLoader(self.windows, batch_sampler=self.batches, collate_fn=self.data_collator)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW with a learning rate for each mechanism."""
        if self.optimizer is None:
            self.optimizer = make_optimiser(self.applied, self.settings)
        return self.optimizer

    def training_step(self, model: Any, *arguments: Any) -> torch.Tensor:
        """One update; the model is in training mode already, and is not walked through for it."""
        if not model.training:
            model.train()
        model.train = lambda mode=True: model
        try:
            loss: torch.Tensor = super().training_step(model, *arguments)
        finally:
            del model.train
        return loss

    def compute_loss(self, model: Any, inputs: Any, **options: Any) -> torch.Tensor:
        """The loss of a batch: that of its labels, and what a teacher and a fusion add to it."""
        read = {name: tensor for name, tensor in inputs.items() if name != TEACHER}
        loss: torch.Tensor
        loss, outputs = super().compute_loss(model, read, return_outputs=True, **options)
        if self.teaching is not None:
            theirs, labels = inputs[TEACHER], inputs["labels"]
            loss = loss + self.teaching.weight * teaching_loss(
                outputs.logits, theirs, labels, self.teaching.temperature, self.multilabel
            )
        if self.applied.fusing:
            # Holds its value matrices near the identity: 0.01 times the squared distance.
            loss = loss + self.applied.model.base_model.get_fusion_regularization_loss()
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        """Nothing: Trainer would count all parameters for it at every update, shared ones once."""
        return 0

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score the dev split."""
        dev = self.dev
        predictions = predict_split(self.applied.model, dev)
        measures = epoch_scores(dev.task, dev.examples, predictions, dev.encoded.protocol)
        metrics = {f"eval_{name}": value for name, value in measures.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_trained(self.applied.model, folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_trained(self.applied.model, Path(resume_from_checkpoint))

    def go_on(self, checkpoint: Checkpoint | None) -> None:
        """Train to the end from a checkpoint, or from the start."""
        if checkpoint is None:
            self.train()
            return
        state = TrainerState.load_from_json(str(checkpoint.folder / TRAINER_STATE_NAME))
        if _was_stopped(state):
            # Trainer would begin another epoch before it asks whether to stop.
            self.state = state
            self._load_best_model()
        else:
            self.train(resume_from_checkpoint=str(checkpoint.folder))

    def _rotate_checkpoints(self, use_mtime: bool = False, output_dir: str | None = None) -> None:
        # Trainer calls this once a checkpoint is written, and before older ones may go.
        seal(self._checkpoint(self.state.global_step), self.state.best_global_step)
        prune(Path(str(self.args.output_dir)), self.state.global_step)

    def _load_best_model(self) -> None:
        # By step, not by path: the run directory may have been moved since.
        load_trained(self.applied.model, self._checkpoint(self.state.best_global_step))

    def _checkpoint(self, update: int) -> Path:
        return checkpoint_folder(Path(str(self.args.output_dir)), update)


def _was_stopped(state: TrainerState) -> bool:
    """Whether training was over when this state was saved, as after early stopping."""
    control = state.stateful_callbacks.get(TrainerControl.__name__, {})
    return bool(control.get("args", {}).get("should_training_stop", False))


def _early_stopping(settings: Settings) -> list[EarlyStoppingCallback]:
    return [EarlyStoppingCallback(settings.patience)] if settings.patience else []


def _arguments(settings: Settings, seed: int, directory: RunDirectory) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(directory.checkpoints_path),
        num_train_epochs=settings.epochs,
        learning_rate=max(settings.learning_rates.values()),
        lr_scheduler_type="linear",
        warmup_ratio=settings.warmup_ratio,
        max_grad_norm=settings.max_grad_norm,
        seed=seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="eval_score",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=settings.patience is not None,
        logging_steps=20,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=False,
    )
