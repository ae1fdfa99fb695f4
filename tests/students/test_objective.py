"""The objective against a slow version that is written out element by element."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.runs.errors import UserError
from adapterkit.students.lm_head import student_head
from adapterkit.students.masking import IGNORED
from adapterkit.students.objective import (
    Heads,
    Weights,
    check_weights,
    cosine_distances,
    losses,
    projection_between,
    read,
    total,
)
from adapterkit.students.teacher import Teacher
from adapterkit.students.teacher_files import masked_lm_head

ALL = Weights(embedding=2.0, temperature=2.0)
LAYERS = (2, 4)


@pytest.fixture
def teacher() -> Teacher:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=23,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=16,
        initializer_range=0.3,
    )
    encoder = BertModel(config, add_pooling_layer=False).eval()
    return Teacher("tiny", encoder, masked_lm_head(encoder), None)


def _student(hidden_size: int = 16, heads: int = 4) -> RecursiveAdapterModel:
    torch.manual_seed(1)
    return RecursiveAdapterModel(
        RecursiveConfig(
            vocab_size=23,
            embedding_size=8,
            hidden_size=hidden_size,
            num_hidden_layers=2,
            num_attention_heads=heads,
            intermediate_size=20,
            max_position_embeddings=16,
            initializer_range=0.3,
        )
    ).eval()


def _batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    ids = torch.randint(0, 23, (3, 7))
    attended = torch.ones_like(ids)
    attended[1, 4:] = 0
    attended[2, 6:] = 0
    labels = torch.full_like(ids, IGNORED)
    labels[0, 2], labels[0, 5], labels[1, 1], labels[2, 3] = 4, 9, 22, 0
    return {"input_ids": ids, "attention_mask": attended, "labels": labels}


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _softmax(scores: list[float], temperature: float) -> list[float]:
    powers = [math.exp(score / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


def _cosine_term(ours: Any, theirs: Any, attended: Any) -> float:
    found = [
        1 - _dot(a, b) / math.sqrt(_dot(a, a) * _dot(b, b))
        for row, targets, kept in zip(ours, theirs, attended, strict=True)
        for a, b, keep in zip(row, targets, kept, strict=True)
        if keep
    ]
    return sum(found) / len(found)


def _attention_term(ours: Any, theirs: Any, attended: Any) -> float:
    found = []
    for example, keeps in enumerate(attended):
        for head in range(len(ours[example])):
            for query, keep in enumerate(keeps):
                if keep:
                    for s, t in zip(
                        ours[example][head][query], theirs[example][head][query], strict=True
                    ):
                        found.append((t + 1e-12) * math.log((t + 1e-12) / (s + 1e-12)))
    return sum(found) / len(found)


def _written_out(
    student: Any, teacher: Any, batch: Any, weights: Weights, heads: Heads, projection: Any
) -> dict[str, float]:
    lead = projection if projection is not None else nn.Identity()
    attended, labels = batch["attention_mask"].tolist(), batch["labels"].tolist()
    ours = [lead(state).tolist() for state in student.hidden_states]
    theirs = [state.tolist() for state in teacher.hidden_states]
    own_maps = [state.tolist() for state in student.attentions]
    maps = [state.tolist() for state in teacher.attentions]
    scores = heads.student(student.hidden_states[-1]).tolist()
    targets = heads.teacher(teacher.hidden_states[-1]).tolist()
    entropies, divergences = [], []
    for row, (i, label) in ((r, p) for r in range(3) for p in enumerate(labels[r])):
        if label != IGNORED:
            entropies.append(-math.log(_softmax(scores[row][i], 1.0)[label]))
            s = _softmax(scores[row][i], weights.temperature)
            t = _softmax(targets[row][i], weights.temperature)
            divergences.append(sum(b * math.log(b / a) for a, b in zip(s, t, strict=True)))
    steps = list(enumerate(LAYERS, start=1))
    return {
        "masked_lm": sum(entropies) / len(entropies),
        "attention": sum(_attention_term(own_maps[i - 1], maps[k - 1], attended) for i, k in steps),
        "hidden": sum(_cosine_term(ours[i], theirs[k], attended) for i, k in steps),
        "output": weights.temperature**2 * sum(divergences) / len(divergences),
        "embedding": _cosine_term(ours[0], theirs[0], attended),
    }


@pytest.mark.parametrize("hidden_size", [16, 12])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_every_term_equals_the_written_out_version(
    teacher: Teacher, hidden_size: int, temperature: float
) -> None:
    student, batch = _student(hidden_size), _batch()
    weights = replace(ALL, temperature=temperature)
    heads = Heads(student_head(student), teacher.head)
    projection = projection_between(hidden_size, 16)
    assert (projection is None) == (hidden_size == 16)
    with torch.no_grad():
        ours, theirs = read(student, batch, weights), read(teacher.encoder, batch, weights)
        found = losses(ours, theirs, batch, weights, LAYERS, heads=heads, projection=projection)
        expected = _written_out(ours, theirs, batch, weights, heads, projection)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, abs=1e-5), name
    summed = sum(getattr(weights, name) * value for name, value in expected.items())
    assert total(found, weights).item() == pytest.approx(summed, abs=1e-4)


def test_padding_changes_no_term_but_the_width_that_attention_is_divided_by(
    teacher: Teacher,
) -> None:
    student, batch = _student(), _batch()
    heads = Heads(student_head(student), teacher.head)
    wider = {
        name: torch.cat([tensor, torch.full((3, 5), filler)], dim=1)
        for (name, tensor), filler in zip(batch.items(), (7, 0, IGNORED), strict=True)
    }

    def terms(shown: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        ours, theirs = read(student, shown, ALL), read(teacher.encoder, shown, ALL)
        return losses(ours, theirs, shown, ALL, LAYERS, heads=heads)

    with torch.no_grad():
        narrow, wide = terms(batch), terms(wider)
    wide["attention"] = wide["attention"] * 12 / 7
    for name in narrow:
        assert wide[name].item() == pytest.approx(narrow[name].item(), abs=1e-5), name


def test_only_terms_that_count_are_computed(teacher: Teacher) -> None:
    weights = Weights(masked_lm=0, attention=0, hidden=1, output=0)
    student, batch = _student(), _batch()
    del batch["labels"]
    ours, theirs = read(student, batch, weights), read(teacher.encoder, batch, weights)
    assert not ours.attentions
    assert not theirs.attentions
    assert losses(ours, theirs, batch, weights, LAYERS).keys() == {"hidden"}
    assert not weights.masks
    assert Weights(masked_lm=0).masks


@pytest.mark.parametrize("layerwise", [False, True])
def test_states_are_the_same_whether_maps_are_asked_for_or_not(
    teacher: Teacher, layerwise: bool, caplog: pytest.LogCaptureFixture
) -> None:
    student, batch = _student(), _batch()
    if layerwise:
        student.add_adapter(LAYERWISE, config=layerwise_config(2, 4))
        student.set_active_adapters(LAYERWISE)
        student.eval()
        with torch.no_grad():
            for name, parameter in student.named_parameters():
                if LAYERWISE in name:
                    parameter.normal_(std=0.3)
    kept = batch["attention_mask"].bool()
    for model in (student, teacher.encoder):
        with torch.no_grad():
            fused = read(model, batch, Weights(attention=0)).hidden_states
            output = read(model, batch, Weights(attention=1))
            after = read(model, batch, Weights(attention=0)).hidden_states
        for left, right, again in zip(fused, output.hidden_states, after, strict=True):
            assert torch.allclose(left[kept], right[kept], atol=1e-5)
            assert torch.allclose(left[kept], again[kept], atol=1e-5)
        for maps in output.attentions:
            assert torch.allclose(maps.sum(-1), torch.ones(()), atol=1e-5)
            assert maps[1, :, :, 4:].max() < 1e-6, "padding is not attended to"
    assert "falling back" not in caplog.text.lower()


def test_every_term_vanishes_for_equal_models_but_the_cross_entropy(teacher: Teacher) -> None:
    batch = _batch()
    assert teacher.head is not None
    output = read(teacher.encoder, batch, ALL)
    ours = SimpleNamespace(
        hidden_states=(output.hidden_states[0], *(output.hidden_states[k] for k in LAYERS)),
        attentions=[output.attentions[k - 1] for k in LAYERS],
    )
    found = losses(ours, output, batch, ALL, LAYERS, heads=Heads(teacher.head, teacher.head))
    assert found.pop("masked_lm") > 0.1
    for name, term in found.items():
        assert abs(term.item()) < 1e-5, name


def test_every_part_of_the_student_learns_from_the_terms_that_reach_it(teacher: Teacher) -> None:
    student, batch = _student(12), _batch()
    head, projection = student_head(student), projection_between(12, 16)
    assert projection is not None
    ours = read(student, batch, ALL)
    with torch.no_grad():
        theirs = read(teacher.encoder, batch, ALL)
    heads = Heads(head, teacher.head)
    terms = losses(ours, theirs, batch, ALL, LAYERS, heads=heads, projection=projection)
    total(terms, ALL).backward()
    for module in (head, projection, student.albert.encoder, student.albert.embeddings):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
    assert head.decoder.weight is student.albert.embeddings.word_embeddings.weight
    assert all(parameter.grad is None for parameter in teacher.encoder.parameters())


def test_no_masked_position_is_no_loss(teacher: Teacher) -> None:
    student, batch = _student(), _batch()
    batch["labels"] = torch.full_like(batch["labels"], IGNORED)
    ours, theirs = read(student, batch, ALL), read(teacher.encoder, batch, ALL)
    heads = Heads(student_head(student), teacher.head)
    terms = losses(ours, theirs, batch, ALL, LAYERS, heads=heads)
    assert terms["masked_lm"].item() == 0
    assert terms["output"].item() == 0
    total(terms, ALL).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())


def test_distances_are_told_step_by_step(teacher: Teacher) -> None:
    torch.manual_seed(3)
    states = torch.randn(2, 3, 4)
    found = cosine_distances(
        [states, -states, 5 * states], [states, states, states], torch.ones(2, 3)
    )
    assert torch.allclose(found, torch.tensor([0.0, 2.0, 0.0]), atol=1e-6)


def test_terms_that_the_teacher_cannot_give_are_refused_by_name(teacher: Teacher) -> None:
    check_weights(ALL, teacher, attention_heads=4)
    bare = replace(teacher, head=None)
    with pytest.raises(UserError) as error:
        check_weights(ALL, bare, attention_heads=2)
    assert "output, attention" in error.value.problem
    assert error.value.where == "objective.output, objective.attention"
    assert "4 attention heads, the student 2" in (error.value.found or "")
    assert "masked-LM head" in (error.value.found or "")
    check_weights(Weights(output=0, attention=0), bare, attention_heads=2)
    check_weights(Weights(output=0), bare, attention_heads=4)


@pytest.mark.parametrize("weights", [Weights(masked_lm=0), Weights(output=0)])
def test_a_missing_head_is_not_passed_over(teacher: Teacher, weights: Weights) -> None:
    student, batch = _student(), _batch()
    ours, theirs = read(student, batch, weights), read(teacher.encoder, batch, weights)
    with pytest.raises(ValueError, match="head"):
        losses(ours, theirs, batch, weights, LAYERS)
    if weights.output:
        with pytest.raises(ValueError, match="teacher"):
            losses(ours, theirs, batch, weights, LAYERS, heads=Heads(student_head(student), None))
