"""Scoring a run without each of its steps, and mixed with another run."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.fusing import fused_updates
from adapterkit.backbones.loading import load_backbone
from adapterkit.comparing.ablating.ablation import Ablation, RunId, Score, StepScore, Swap
from adapterkit.comparing.ablating.mixing import Texts, Variants
from adapterkit.comparing.ablating.removing import learning_steps, with_and_without
from adapterkit.comparing.ablating.swapping import check_mixable, mixed
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.hashing import sha256_file
from adapterkit.runs.progress import Progress, Silence
from adapterkit.tuning.batches import Collator, WindowDataset, cut_by_tokens
from adapterkit.tuning.evaluation import (
    EvaluationSplit,
    decode_logits,
    evaluation_tokens,
    score_split,
    scored_rows,
)
from adapterkit.tuning.reloading import LoadedRun, load_run
from adapterkit.tuning.rescoring import read_split

_EMBEDDINGS_NOTE = (
    "every step was tuned in full: the tuned embeddings stay, whichever step is pretrained again"
)


def ablate(
    run: str | Path,
    swap_with: str | Path | None = None,
    data: str | Path = "auto",
    split: str = "dev",
    progress: Progress | None = None,
) -> Ablation:
    """Find out which recursion steps of a run matter.

    Scores the run without what learned at each step, and, with another run, the mixtures of which
    the steps below k are those of `run` and the others those of the other one.

    Args:
        run: The run directory.
        swap_with: Another run of the same backbone and task.
        data: As for `tune`; ``auto`` is where the run found its data, which must be unchanged.
        split: ``train``, ``dev`` or ``test``.
        progress: Told how it goes.

    Raises:
        UserError: A run, its backbone or the data are missing, damaged or do not fit, or nothing
            learned at any step.
    """
    progress = progress or Silence()
    progress.begin("loading the run")
    loaded = load_run(run)
    learned = learning_steps(loaded.applied)
    other = None if swap_with is None else load_run(swap_with)
    if other is not None:
        check_mixable(loaded, other)
    scored = read_split(loaded, split, data)
    progress.begin(f"scoring {split} without each step", len(scored.split.encoded.windows))
    variants = with_and_without(loaded.applied, _pretrained(loaded))
    metric, (whole, *rest) = _scores(variants, loaded, scored.split, progress)
    without = dict(zip(learned, rest, strict=True))
    swap = None
    if other is not None and swap_with is not None:
        progress.begin(f"scoring {split} with steps swapped", len(scored.split.encoded.windows))
        variants = mixed(loaded.applied.model, other.applied.model.to(loaded.applied.model.device))
        _, results = _scores(variants, loaded, scored.split, progress)
        swap = Swap(other=_run_id(swap_with, other), results=tuple(results))
    return Ablation(
        run=_run_id(run, loaded),
        task=loaded.task.name,
        split=split,
        protocol=loaded.manifest.protocol,
        metric=metric,
        data=scored.as_dict(),
        whole=whole,
        steps=_step_scores(loaded, without),
        swap=swap,
        notes=(*scored.found.notes, *_notes(loaded)),
    )


def _pretrained(loaded: LoadedRun) -> RecursiveAdapterModel:
    model = load_backbone(loaded.manifest.backbone.id).model
    pretrained: RecursiveAdapterModel = model.to(loaded.applied.model.device).eval()
    return pretrained


def _scores(
    variants: Variants, loaded: LoadedRun, split: EvaluationSplit, progress: Progress
) -> tuple[str, list[Score]]:
    """The name of the score, and the scores of each variant."""
    measured = [
        score_split(split, decode_logits(split, logits))
        for logits in _logits(variants, loaded.applied.model, split, progress)
    ]
    scores = [
        Score(
            score=metrics["score"],
            per_type={name: figures["f1"] for name, figures in metrics["per_type"].items()},
        )
        for metrics in measured
    ]
    return str(measured[0]["metric"]), scores


def _logits(
    variants: Variants, model: RecursiveAdapterModel, split: EvaluationSplit, progress: Progress
) -> list[list[np.ndarray]]:
    """The logits of each variant for every window, in the order of the windows."""
    lengths = WindowDataset(split.encoded).lengths
    collate = Collator(split.task, split.encoded, split.pad_token_id)
    found: dict[int, list[np.ndarray]] = {}
    with torch.inference_mode(), contextlib.ExitStack() as stack:
        for each in variants.models:
            stack.enter_context(fused_updates(each))
        for batch in cut_by_tokens(range(len(lengths)), lengths, evaluation_tokens(model)):
            features = {name: t.to(model.device) for name, t in collate(batch).items()}
            texts = Texts(features["input_ids"], features["attention_mask"], features["positions"])
            rows = [logits.float().cpu().numpy() for logits in variants.logits(texts)]
            for place, index in enumerate(batch):
                found[index] = [scored_rows(split, index, each[place]) for each in rows]
            progress.advance(len(batch))
    return [list(rows) for rows in zip(*(found[i] for i in range(len(lengths))), strict=True)]


def _step_scores(loaded: LoadedRun, without: dict[int, Score]) -> tuple[StepScore, ...]:
    choices = loaded.applied.plan.resolve(loaded.applied.model.config.num_hidden_layers)
    return tuple(
        StepScore(
            step=step,
            mechanism=str(choice),
            removed=choice.definition.removed or "nothing to remove",
            result=without.get(step),
        )
        for step, choice in enumerate(choices)
    )


def _notes(loaded: LoadedRun) -> list[str]:
    whole = all(site.choice.mechanism == "full" for site in loaded.applied.sites)
    return [_EMBEDDINGS_NOTE] if whole else []


def _run_id(path: str | Path, loaded: LoadedRun) -> RunId:
    return RunId(
        path=str(path),
        sha256=sha256_file(RunDirectory(Path(path)).manifest_path),
        plan=loaded.manifest.plan,
        seed=loaded.manifest.seed,
    )
