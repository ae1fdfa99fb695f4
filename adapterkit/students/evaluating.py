"""How near a student is to its teacher, on text neither of them learned from here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.nn import functional

from adapterkit.students.batching import held_out_batches
from adapterkit.students.masking import IGNORED, generator_of, mask
from adapterkit.students.objective import Weights, cosine_distances, read
from adapterkit.students.packing import Batch
from adapterkit.students.probing import probe_scores
from adapterkit.students.session import Session

HELD_OUT_TOKENS = 65_536
"""Word pieces an evaluation reads at most, padding included; evenly spread if there are more."""

_STATES = Weights(masked_lm=0, attention=0, hidden=1, output=0)


def evaluate(session: Session) -> dict[str, Any]:
    """Measure a student while it learns; nothing of what it learns is touched.

    Returns:
        ``cosines``: mean cosine of each step's states to those of its teacher layer, through the
        projection where there is one, and ``embedding_cosine`` the same at the embedding output;
        ``perplexity``: of held-out text masked like the training text, if the objective has the
        masked-LM term; ``probes``: a score for each task that the recipe names, see
        `probing.probe_scores`, and ``probe_data``: what kind of place the data of each are from.
        What there is no held-out text for is left out.
    """
    found: dict[str, Any] = {}
    with torch.no_grad(), session.accelerator.autocast():
        if len(session.corpus.held_out):
            embedding, *steps = _cosines(session)
            found |= {"cosines": steps, "embedding_cosine": embedding}
            if session.plain.weights.masked_lm > 0:
                found["perplexity"] = _perplexity(session)
        if session.probe is not None:
            scores = probe_scores(session.probe, _reader(session))
            found["probes"] = {name: round(value, 4) for name, value in scores.items()}
            found["probe_data"] = {read.task.name: read.source for read in session.probe.tasks}
    return found


def said(measures: Mapping[str, Any]) -> str:
    """An evaluation in one line."""
    parts = [f"{measures['tokens']:>13,} word pieces"]
    if "cosines" in measures:
        parts.append("cosines " + " ".join(f"{value:.3f}" for value in measures["cosines"]))
    if "perplexity" in measures:
        parts.append(f"perplexity {measures['perplexity']:.2f}")
    if "probes" in measures:
        parts.append(f"probes {_probes_said(measures)}")
    return "  ".join(parts)


def _probes_said(measures: Mapping[str, Any]) -> str:
    """The score of each probe; that of a bundled sample is marked, it is none on a corpus."""
    return "  ".join(
        f"{name} {value:.4f}" + (" (sample)" if measures["probe_data"][name] == "sample" else "")
        for name, value in measures["probes"].items()
    )


def _cosines(session: Session) -> list[float]:
    plain = session.plain
    layers = (0, *plain.layers)
    distances, count = torch.zeros(len(layers), device=session.device), 0
    for batch in _held_out(session):
        ours = read(plain.student, batch, _STATES).hidden_states
        theirs = read(session.teacher.encoder, batch, _STATES).hidden_states
        attended = batch["attention_mask"].float()
        tokens = int(attended.sum())
        targets = [theirs[layer] for layer in layers]
        distances += tokens * cosine_distances(ours, targets, attended, plain.projection)
        count += tokens
    return [round(float(value), 4) for value in 1 - distances / count]


def _perplexity(session: Session) -> float:
    plain, entropy, count = session.plain, 0.0, 0
    if plain.head is None:
        raise ValueError("the learner has no masked-LM head")
    for number, batch in enumerate(_held_out(session), start=1):
        # Negative numbers: no update has them.
        chance = generator_of(session.recipe.training.seed, -number)
        tokenizer = session.teacher.tokenizer
        ids, labels = mask(batch, tokenizer, session.recipe.corpus.masking, chance)
        states = read(plain.student, {**batch, "input_ids": ids}, _STATES).hidden_states[-1]
        chosen = labels != IGNORED
        scores = plain.head(states[chosen]).float()
        entropy += float(functional.cross_entropy(scores, labels[chosen], reduction="sum"))
        count += int(chosen.sum())
    return round(math.exp(min(entropy / max(1, count), 700.0)), 3)


def _held_out(session: Session) -> Iterator[Batch]:
    size = session.recipe.training.batch_tokens
    batches = held_out_batches(session.corpus, batch_tokens=min(size, HELD_OUT_TOKENS))
    excess = int(session.corpus.held_out.widths().sum()) / HELD_OUT_TOKENS
    for batch in itertools.islice(batches, 0, None, max(1, math.ceil(excess))):
        yield {name: tensor.to(session.device) for name, tensor in batch.items()}


def _reader(session: Session) -> Any:
    def states(ids: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        batch = {
            "input_ids": ids.to(session.device),
            "attention_mask": attended.to(session.device),
        }
        last: torch.Tensor = read(session.plain.student, batch, _STATES).hidden_states[-1]
        return last

    return states
