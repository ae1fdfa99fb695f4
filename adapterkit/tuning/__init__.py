"""One training run: batches, trainer, evaluation."""
