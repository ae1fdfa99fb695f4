"""What a student learns: MiniALBERT's distillation objective (arXiv 2210.06425), term by term.

``masked_lm * CE + attention * sum_i KL(attention) + hidden * sum_i (1 - cos) + output * KL(scores)
+ embedding * (1 - cos)``, where recursion step i learns from a layer of the teacher. The terms
are the paper's: attention rows and states of tokens that are no padding, scores at masked
positions. ``scores`` and ``feed_forward`` are KroneckerBERT's (see `inner_states`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from adapterkit.runs.errors import UserError
from adapterkit.students.attention import use_written_out_attention
from adapterkit.students.inner_states import feed_forward_distances, score_distances, watched
from adapterkit.students.masking import IGNORED
from adapterkit.students.packing import Batch

if TYPE_CHECKING:
    from adapterkit.students.teacher import Teacher

_TINY = 1e-12


@dataclass(frozen=True)
class Weights:
    """The weight of each term; a term of weight 0 is not computed.

    Attributes:
        masked_lm: Of the cross-entropy at masked positions.
        attention: Of the divergence of attention maps, summed over steps.
        hidden: Of the cosine distance of states, summed over steps.
        output: Of the divergence of scores at masked positions.
        embedding: Of the cosine distance at the embedding output.
        scores: Of the mean square difference of attention scores, summed over steps.
        feed_forward: Of the mean square difference of feed-forward outputs, summed over steps.
        temperature: Of the output term.
    """

    masked_lm: float = 1.0
    attention: float = 3.0
    hidden: float = 3.0
    output: float = 5.0
    embedding: float = 0.0
    scores: float = 0.0
    feed_forward: float = 0.0
    temperature: float = 1.0

    @property
    def masks(self) -> bool:
        """Whether a term needs masked text, and a masked-LM head of the student."""
        return self.masked_lm > 0 or self.output > 0

    @property
    def looks_inside(self) -> bool:
        """Whether a term reads what happens inside a layer."""
        return self.scores > 0 or self.feed_forward > 0


@dataclass(frozen=True)
class Heads:
    """The masked-LM heads: from states (..., hidden) to scores (..., vocabulary).

    Attributes:
        student: The student's, which learns.
        teacher: The teacher's; needed for the output term alone.
    """

    student: nn.Module
    teacher: nn.Module | None = None


def check_weights(weights: Weights, teacher: Teacher, attention_heads: int) -> None:
    """Refuse terms that the teacher cannot give.

    Args:
        weights: Of the terms.
        teacher: The teacher as it will be when the student learns.
        attention_heads: Of the student.

    Raises:
        UserError: Names every term that cannot be had, and why.
    """
    problems = {}
    if weights.output > 0 and teacher.head is None:
        problems["output"] = "the teacher has no masked-LM head"
    for term in ("attention", "scores"):
        if getattr(weights, term) > 0 and attention_heads != teacher.heads:
            problems[term] = (
                f"the teacher has {teacher.heads} attention heads, the student {attention_heads}"
            )
    if problems:
        raise UserError(
            f"The teacher cannot give what the objective asks for: {', '.join(problems)}.",
            where=", ".join(f"objective.{term}" for term in problems),
            found="; ".join(problems.values()),
            hint="set the weight to 0"
            + (", or give the teacher a head by teacher_training" if "output" in problems else "")
            + (
                f", or student.attention_heads to {teacher.heads}"
                if "attention" in problems or "scores" in problems
                else ""
            ),
        )


def projection_between(student_size: int, teacher_size: int) -> nn.Linear | None:
    """The map from a student's states to a teacher's of another size; None where sizes agree.

    It learns with the student, serves every step, and is dropped afterwards.
    """
    return None if student_size == teacher_size else nn.Linear(student_size, teacher_size)


def read(model: nn.Module, batch: Batch, weights: Weights) -> Any:
    """Run an encoder and keep what the terms read: all states, attention maps only if they count.

    Args:
        model: Student or teacher; where maps are read it no longer uses SDPA, see `attention`.
        batch: ``input_ids`` and ``attention_mask``, each (batch, tokens); the rest is not shown.
        weights: Of the terms.

    Returns:
        Its output, with ``hidden_states`` and, where needed, ``attentions`` and ``inner``.
    """
    if weights.attention > 0:
        use_written_out_attention(model)
    with watched(model) if weights.looks_inside else nullcontext() as inner:
        output = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            output_hidden_states=True,
            output_attentions=weights.attention > 0,
        )
    output.inner = inner
    return output


def losses(
    student: Any,
    teacher: Any,
    batch: Batch,
    weights: Weights,
    layers: Sequence[int],
    *,
    heads: Heads | None = None,
    projection: nn.Module | None = None,
) -> dict[str, torch.Tensor]:
    """The terms whose weight is not 0, each unweighted and in float32.

    Args:
        student: The student's output, see `read`.
        teacher: The teacher's output on the same ids.
        batch: ``attention_mask`` (batch, tokens) and, where a term needs masked text, ``labels``
            (batch, tokens).
        weights: Of the terms.
        layers: The teacher's layer, from one, that each step learns from.
        heads: The masked-LM heads, where a term needs them.
        projection: Leads the student's states to the teacher's size.

    Raises:
        ValueError: A term needs a head that is not there.
    """
    attended = batch["attention_mask"].float()
    terms: dict[str, torch.Tensor] = {}
    if weights.attention > 0:
        maps = [teacher.attentions[layer - 1] for layer in layers]
        terms["attention"] = attention_divergences(student.attentions, maps, attended).sum()
    if weights.hidden > 0:
        states = [teacher.hidden_states[layer] for layer in layers]
        ours = student.hidden_states[1:]
        terms["hidden"] = cosine_distances(ours, states, attended, projection).sum()
    if weights.embedding > 0:
        terms["embedding"] = cosine_distances(
            student.hidden_states[:1], teacher.hidden_states[:1], attended, projection
        ).sum()
    if weights.scores > 0:
        terms["scores"] = score_distances(student.inner, teacher.inner, layers, attended).sum()
    if weights.feed_forward > 0:
        terms["feed_forward"] = feed_forward_distances(
            student.inner, teacher.inner, layers, attended, projection
        ).sum()
    if weights.masks:
        terms |= _masked_terms(student, teacher, batch["labels"], weights, heads)
    return terms


def total(terms: Mapping[str, torch.Tensor], weights: Weights) -> torch.Tensor:
    """The weighted sum of the terms."""
    return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()


def cosine_distances(
    ours: Sequence[torch.Tensor],
    theirs: Sequence[torch.Tensor],
    attended: torch.Tensor,
    projection: nn.Module | None = None,
) -> torch.Tensor:
    """Mean of ``1 - cos`` over the tokens that are no padding, for each pair of states.

    Args:
        ours: The student's states, each (batch, tokens, hidden).
        theirs: The teacher's, each (batch, tokens, hidden of the teacher).
        attended: Shape (batch, tokens): 1 for a token, 0 for padding.
        projection: Leads the student's states to the teacher's size.

    Returns:
        Shape (pairs,).
    """
    count = attended.sum()
    distances = []
    for state, target in zip(ours, theirs, strict=True):
        projected = state if projection is None else projection(state)
        cosine = functional.cosine_similarity(projected.float(), target.float(), dim=-1)
        # Weighted and not selected: shapes that depend on the data would not compile.
        distances.append(((1 - cosine) * attended).sum() / count)
    return torch.stack(distances)


def attention_divergences(
    ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor], attended: torch.Tensor
) -> torch.Tensor:
    """Kullback-Leibler divergence of attention maps, for each pair of them.

    As in MiniALBERT's code the mean is over heads, the rows of tokens that are no padding, and
    their columns: a row's divergence is divided by its width.

    Args:
        ours: The student's maps, each (batch, heads, tokens, tokens).
        theirs: The teacher's, of the same shape.
        attended: Shape (batch, tokens): 1 for a token, 0 for padding.

    Returns:
        Shape (pairs,).
    """
    rows = attended[:, None, :, None]
    divergences = []
    for own, target in zip(ours, theirs, strict=True):
        student, teacher = own.float() + _TINY, target.float() + _TINY
        divergence = teacher * (teacher.log() - student.log()) * rows
        elements = attended.sum() * own.shape[1] * own.shape[-1]
        divergences.append(divergence.sum() / elements)
    return torch.stack(divergences)


def output_divergence(
    ours: torch.Tensor, theirs: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """Divergence of the student's scores from the teacher's, times the temperature squared.

    Args:
        ours: The student's scores at masked positions, (positions, vocabulary).
        theirs: The teacher's.
        temperature: Divides both.

    Returns:
        The mean over positions; 0 where there are none.
    """
    student = functional.log_softmax(ours.float() / temperature, dim=-1)
    teacher = functional.log_softmax(theirs.float() / temperature, dim=-1)
    divergence = functional.kl_div(student, teacher, reduction="sum", log_target=True)
    return divergence * temperature**2 / max(1, len(ours))


def _masked_terms(
    student: Any, teacher: Any, labels: torch.Tensor, weights: Weights, heads: Heads | None
) -> dict[str, torch.Tensor]:
    """The terms at masked positions; scores are computed there alone."""
    if heads is None:
        raise ValueError("the terms at masked positions need masked-LM heads")
    chosen = (labels.flatten() != IGNORED).nonzero().squeeze(1)
    scores = heads.student(student.hidden_states[-1].flatten(0, 1)[chosen])
    terms = {}
    if weights.masked_lm > 0:
        entropy = functional.cross_entropy(
            scores.float(), labels.flatten()[chosen], reduction="sum"
        )
        terms["masked_lm"] = entropy / max(1, len(chosen))
    if weights.output > 0:
        if heads.teacher is None:
            raise ValueError("the output term needs the teacher's masked-LM head")
        with torch.no_grad():
            targets = heads.teacher(teacher.hidden_states[-1].flatten(0, 1)[chosen])
        terms["output"] = output_divergence(scores, targets, weights.temperature)
    return terms
