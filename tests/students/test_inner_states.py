"""Attention scores and feed-forward outputs, against a version that is written out."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import BertModel

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.students.inner_states import (
    Inner,
    feed_forward_distances,
    score_distances,
    watched,
)
from adapterkit.students.objective import Weights, losses, read

IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])
MASK = (IDS != 0).long()
LAYERS = (1, 3)


@pytest.fixture
def student() -> RecursiveAdapterModel:
    torch.manual_seed(1)
    config = RecursiveConfig(
        vocab_size=40,
        hidden_size=32,
        embedding_size=8,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
    )
    model = RecursiveAdapterModel(config).eval()
    with torch.no_grad():
        for parameter in dict.fromkeys(model.parameters()):
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def inside(model: RecursiveAdapterModel | BertModel) -> Inner:
    with torch.no_grad(), watched(model) as inner:
        model(input_ids=IDS, attention_mask=MASK)
    return inner


def test_scores_are_those_that_attention_takes_the_softmax_of(teacher: BertModel) -> None:
    inner = inside(teacher)
    eager = BertModel(teacher.config, add_pooling_layer=False)
    eager.load_state_dict(teacher.state_dict())
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        maps = eager.eval()(input_ids=IDS, attention_mask=MASK, output_attentions=True).attentions
    for layer, expected in enumerate(maps):
        hidden = (1 - MASK[:, None, None, :]) * -1e9
        assert torch.allclose((inner.scores(layer) + hidden).softmax(-1), expected, atol=1e-5)


def test_nothing_is_left_behind(student: RecursiveAdapterModel) -> None:
    inner = inside(student)
    assert len(inner.queries) == len(inner.keys) == len(inner.feed_forward) == 2
    student(input_ids=IDS, attention_mask=MASK)
    assert len(inner.queries) == 2


def test_distances_equal_the_written_out_version(
    student: RecursiveAdapterModel, teacher: BertModel
) -> None:
    ours, theirs = inside(student), inside(teacher)
    scores = score_distances(ours, theirs, LAYERS, MASK.float())
    outputs = feed_forward_distances(ours, theirs, LAYERS, MASK.float())
    for step, layer in enumerate(LAYERS):
        squares, rows = [], []
        for text, length in enumerate(MASK.sum(1).tolist()):
            for head in range(4):
                part = slice(8 * head, 8 * head + 8)
                for one in range(length):
                    for other in range(length):
                        found = [
                            float(i.queries[n][text, one, part] @ i.keys[n][text, other, part])
                            / math.sqrt(8)
                            for i, n in ((ours, step), (theirs, layer - 1))
                        ]
                        squares.append((found[0] - found[1]) ** 2)
            for one in range(length):
                own, target = ours.feed_forward[step], theirs.feed_forward[layer - 1]
                rows.append(float((own[text, one] - target[text, one]).square().mean()))
        assert scores[step] == pytest.approx(sum(squares) / len(squares), rel=1e-4)
        assert outputs[step] == pytest.approx(sum(rows) / len(rows), rel=1e-4)


def test_the_objective_has_both_terms_where_they_count(
    student: RecursiveAdapterModel, teacher: BertModel
) -> None:
    batch = {"input_ids": IDS, "attention_mask": MASK}
    weights = Weights(0, 0, 0, 0, scores=1, feed_forward=2)
    with torch.no_grad():
        targets = read(teacher, batch, weights)
    found = losses(read(student, batch, weights), targets, batch, weights, LAYERS)
    assert set(found) == {"scores", "feed_forward"}
    torch.stack(list(found.values())).sum().backward()
    learned = {
        name.split("albert_layers.0.")[1]
        for name, parameter in student.named_parameters()
        if parameter.grad is not None and parameter.grad.any() and "albert_layers.0." in name
    }
    assert {"attention.query.weight", "attention.key.weight", "ffn_output.weight"} <= learned
