from __future__ import annotations

import torch
from transformers import BertModel

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.students.embeddings import fit_projection
from adapterkit.students.start import Start, build_student


def student(teacher: BertModel, embedding_size: int) -> RecursiveAdapterModel:
    start = Start("average", (1, 2, 3), embedding_size=embedding_size, reduction_factor=8)
    return build_student(start, teacher)


def test_the_embeddings_keep_the_leading_directions(teacher: BertModel) -> None:
    narrow = student(teacher, 4).albert.embeddings.word_embeddings.weight
    table = teacher.embeddings.word_embeddings.weight
    centred = table - table.mean(0)
    kept = narrow.square().sum() / centred.square().sum()
    best = torch.linalg.svdvals(centred)[:4].square().sum() / centred.square().sum()
    assert torch.isclose(kept, best, rtol=1e-4)


def test_at_the_teachers_width_the_tables_are_its_own(teacher: BertModel) -> None:
    ours, theirs = student(teacher, 32).albert.embeddings, teacher.embeddings
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm"):
        assert torch.equal(getattr(ours, name).weight, getattr(theirs, name).weight), name


def test_the_projection_is_the_least_squares_fit(teacher: BertModel) -> None:
    torch.manual_seed(1)
    model = student(teacher, 16)
    ids = torch.randint(0, 40, (16, 30))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    explained = fit_projection(model, teacher, [batch], ridge=0.0)
    assert explained is not None
    projection = model.albert.encoder.embedding_hidden_mapping_in
    with torch.no_grad():
        target = teacher.embeddings(ids)

        def error() -> float:
            return float((projection(model.albert.embeddings(ids)) - target).square().mean())

        best = error()
        projection.weight[0, 0] += 0.05
        assert error() > best
        variance = float((target - target.mean((0, 1))).square().mean())
    assert abs(explained - (1 - best / variance)) < 1e-3


def test_padding_is_not_fitted(teacher: BertModel) -> None:
    torch.manual_seed(1)
    ids = torch.randint(1, 40, (16, 30))
    mask = (torch.arange(30) < 20).long().expand(16, 30)
    one, other = student(teacher, 16), student(teacher, 16)
    fit_projection(one, teacher, [{"input_ids": ids, "attention_mask": mask}])
    whole = {"input_ids": ids[:, :20], "attention_mask": mask[:, :20]}
    fit_projection(other, teacher, [whole])
    weights = [m.albert.encoder.embedding_hidden_mapping_in.weight for m in (one, other)]
    torch.testing.assert_close(*weights)
