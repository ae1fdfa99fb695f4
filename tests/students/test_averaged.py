from __future__ import annotations

import torch
from transformers import BertModel

from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.students.averaged import averaged_student, fit_projection


def test_the_block_is_the_mean_of_the_layers_and_stored_once(teacher: BertModel) -> None:
    student = averaged_student(teacher, embedding_size=8, reduction_factor=8)
    blocks = student.albert.encoder.blocks()
    mean = sum(layer.intermediate.dense.weight for layer in teacher.encoder.layer) / 3
    assert torch.allclose(blocks[0].ffn.weight, mean, atol=1e-6)
    assert all(block.ffn.weight is blocks[0].ffn.weight for block in blocks)


def test_each_step_starts_with_its_own_layer_norms(teacher: BertModel) -> None:
    """A student whose teacher repeats one layer computes what the teacher does, given its input."""
    first = teacher.encoder.layer[0]
    for layer in teacher.encoder.layer[1:]:
        matrices = {k: v for k, v in first.state_dict().items() if "LayerNorm" not in k}
        layer.load_state_dict(matrices, strict=False)
    student = averaged_student(teacher, embedding_size=8, reduction_factor=8).eval()
    states = torch.randn(2, 5, 32)
    expected = states
    for layer in teacher.encoder.layer[:-1]:
        expected = layer(expected)[0]
    found = states
    student.albert.encoder.embedding_hidden_mapping_in = torch.nn.Identity()
    output = student.albert.encoder(found, output_hidden_states=True)
    assert torch.allclose(output.hidden_states[2], expected, atol=1e-5)


def test_the_embeddings_keep_the_leading_directions(teacher: BertModel) -> None:
    narrow = averaged_student(teacher, 4, 8).albert.embeddings.word_embeddings.weight
    table = teacher.embeddings.word_embeddings.weight
    centred = table - table.mean(0)
    kept = narrow.square().sum() / centred.square().sum()
    best = torch.linalg.svdvals(centred)[:4].square().sum() / centred.square().sum()
    assert torch.isclose(kept, best, rtol=1e-4)


def test_the_projection_is_the_least_squares_fit(teacher: BertModel) -> None:
    torch.manual_seed(1)
    student = averaged_student(teacher, 16, 8)
    ids = torch.randint(0, 40, (16, 30))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    explained = fit_projection(student, teacher, [batch], ridge=0.0)
    projection = student.albert.encoder.embedding_hidden_mapping_in
    with torch.no_grad():
        target = teacher.embeddings(ids)

        def error() -> float:
            return float((projection(student.albert.embeddings(ids)) - target).square().mean())

        best = error()
        projection.weight[0, 0] += 0.05
        assert error() > best
        variance = float((target - target.mean((0, 1))).square().mean())
    assert abs(explained - (1 - best / variance)) < 1e-3


def test_the_layerwise_adapter_is_active(teacher: BertModel) -> None:
    student = averaged_student(teacher, 8, 8)
    assert student.active_adapters.flatten() == {LAYERWISE}
